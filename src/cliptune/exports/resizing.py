"""A model's input transform as nodes of a graph: resize, crop, pad, for images of any size.

It says what ``Preprocess`` does, but for one thing: of a picture so thin that ``Preprocess`` has
Pillow scale only what it cuts out, Pillow may begin with the other direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from cliptune.encoders.picture_crops import SIDE_KEPT, cuts_of
from cliptune.exports.pillow_resize import ScaledSide, add_resize

if TYPE_CHECKING:
    from cliptune.encoders.preprocess import Preprocess
    from cliptune.exports.onnx_graph import OnnxGraph

__all__ = ["add_preprocessing"]


def add_preprocessing(graph: OnnxGraph, images: str, preprocess: Preprocess) -> str:
    """Add the nodes from images uint8 (B, H, W, 3) to pixels uint8 (B, 3, h, w)."""
    pixels = graph.transpose(images, (0, 3, 1, 2))
    if cuts_of(preprocess.crops) == 1:
        return _prepare(graph, pixels, preprocess)
    cuts = [_prepare(graph, cut, preprocess) for cut in _cut_out(graph, pixels)]
    return graph.node("Concat", *cuts, axis=2)


def _cut_out(graph: OnnxGraph, pixels: str) -> list[str]:
    """Return the pictures and their cuts, in the order and of the places of ``cut_out``."""
    sides = _sides(graph, pixels)
    share = graph.double(SIDE_KEPT)
    rounded = [_round(graph, graph.multiply(_wide(graph, side), share)) for side in sides]
    kept = [graph.node("Max", side, graph.whole(1)) for side in rounded]
    last = [graph.node("Sub", side, part) for side, part in zip(sides, kept, strict=True)]
    middle = [graph.divide(one, graph.whole(2)) for one in last]
    none = [graph.whole(0), graph.whole(0)]
    starts = [middle, none, [none[0], last[1]], [last[0], none[1]], last]
    length = graph.node("Concat", *kept, axis=0)
    found = [pixels]
    for start in starts:
        begin = graph.node("Concat", *start, axis=0)
        end = graph.add(begin, length)
        found.append(graph.node("Slice", pixels, begin, end, graph.whole(2, 3)))
    return found


def _prepare(graph: OnnxGraph, pixels: str, preprocess: Preprocess) -> str:
    """Resize and crop pictures, or one cut of each: uint8 (B, 3, H, W) to (B, 3, h, w)."""
    given = _sides(graph, pixels)
    target = _target(graph, given, preprocess)
    starts, kept = [graph.whole(0)] * 2, target
    if preprocess.resize_mode == "shortest":
        starts = _crop_starts(graph, target, preprocess.size)
        kept = graph.whole(preprocess.size[0]), graph.whole(preprocess.size[1])
    height, width = map(ScaledSide, given, target, starts, kept)
    resized = add_resize(graph, pixels, height, width, preprocess.interpolation)
    if preprocess.resize_mode == "longest":
        return _pad(graph, resized, target, preprocess)
    return resized


def _sides(graph: OnnxGraph, pixels: str) -> tuple[str, str]:
    """Return height and width, int64 (1,) each."""
    shape = graph.node("Shape", pixels)
    return graph.part(shape, 0, 2, 3), graph.part(shape, 0, 3, 4)


def _target(graph: OnnxGraph, sides: tuple[str, str], preprocess: Preprocess) -> tuple[str, str]:
    """Return the height and width to scale to; all rounding is that of ``Preprocess``."""
    height, width = preprocess.size
    if preprocess.resize_mode == "squash":
        return graph.whole(height), graph.whole(width)
    if preprocess.resize_mode == "longest":
        return _scaled(graph, sides, (height, width), "Max")
    cover = (int(height / preprocess.crop_fraction), int(width / preprocess.crop_fraction))
    if cover[0] != cover[1]:
        return _scaled(graph, sides, cover, "Min")
    # floor(side * longer / shorter), which is the side itself for the shorter one
    shorter, side = graph.node("Min", *sides), graph.whole(cover[0])
    first, second = (graph.divide(graph.multiply(side, one), shorter) for one in sides)
    return first, second


def _scaled(
    graph: OnnxGraph, sides: tuple[str, str], size: tuple[int, int], which: str
) -> tuple[str, str]:
    """Return both sides over one ratio, rounded to even where they end in a half."""
    wide = [_wide(graph, side) for side in sides]
    ratios = [graph.divide(one, graph.double(n)) for one, n in zip(wide, size, strict=True)]
    ratio = graph.node(which, *ratios)
    first, second = (
        graph.node("Max", _round(graph, graph.divide(one, ratio)), graph.whole(1)) for one in wide
    )
    return first, second


def _wide(graph: OnnxGraph, value: str) -> str:
    return graph.node("Cast", value, to=TensorProto.DOUBLE)


def _round(graph: OnnxGraph, value: str) -> str:
    """Round doubles to int64, halves to even, as Python does."""
    return graph.node("Cast", graph.node("Round", value), to=TensorProto.INT64)


def _crop_starts(graph: OnnxGraph, target: tuple[str, str], size: tuple[int, int]) -> list[str]:
    """Return the first row and column of the centre."""
    starts = []
    for side, length in zip(target, size, strict=True):
        spare = graph.node("Sub", side, graph.whole(length))
        half = graph.divide(_wide(graph, spare), graph.double(2.0))
        starts.append(_round(graph, half))
    return starts


def _pad(graph: OnnxGraph, resized: str, target: tuple[str, str], preprocess: Preprocess) -> str:
    """Put the picture into the middle of the fill."""
    before, after = [], []
    for side, length in zip(target, preprocess.size, strict=True):
        spare = graph.node("Sub", graph.whole(length), side)
        left = graph.divide(spare, graph.whole(2))
        before.append(left)
        after.append(graph.node("Sub", spare, left))
    none = graph.whole(0, 0)
    pads = graph.node("Concat", none, *before, none, *after, axis=0)
    fill = graph.node("Cast", graph.whole(preprocess.fill), to=TensorProto.UINT8)
    return graph.node("Pad", resized, pads, graph.node("Squeeze", fill, graph.whole(0)))
