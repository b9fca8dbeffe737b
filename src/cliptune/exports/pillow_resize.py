"""Pillow's resize as nodes of a graph: a product with weights for each direction.

It knows how Pillow 13 scales pictures, and not what for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from onnx import TensorProto

if TYPE_CHECKING:
    from cliptune.exports.onnx_graph import OnnxGraph

__all__ = ["ScaledSide", "add_resize"]

_REACH = {"bicubic": 2, "bilinear": 1}  # pixels on either side, of the smaller picture
_BITS = 22  # of Pillow's weights, behind the point
_BLOCKS = 8  # of what is kept; with 1 the products take five times as long
_Span = tuple[str, str]  # begin and end, int64 (1,)


@dataclass(frozen=True)
class ScaledSide:
    """The height or width of pictures, before and after; values int64 (1,).

    Attributes:
        given: Of the picture.
        scaled: What it is scaled to.
        start: The first row or column of that that is kept.
        kept: How many are.
    """

    given: str
    scaled: str
    start: str
    kept: str


@dataclass(frozen=True)
class _Weights:
    """What one direction is multiplied by: a block of what is kept looks at a stretch of pixels.

    Attributes:
        begins: The first pixel of each block's stretch, int64 (n,).
        length: Of every stretch, int64 (1,).
        values: float32 (n, block, length), rows that add up to 1; the last block may go further
            than what is kept.
        kept: How much is kept, int64 (1,).
    """

    begins: str
    length: str
    values: str
    kept: str


def add_resize(
    graph: OnnxGraph,
    pixels: str,
    height: ScaledSide,
    width: ScaledSide,
    interpolation: Literal["bicubic", "bilinear"],
) -> str:
    """Scale pictures as Pillow does, and compute only what is kept of them.

    Args:
        graph: Gets the nodes.
        pixels: uint8 (B, 3, H, W).
        height: And what becomes of it.
        width: Likewise.
        interpolation: The filter.

    Returns:
        uint8 (B, 3, h, w), the kept height and width.
    """
    down, across = (_weigh(graph, side, interpolation) for side in (height, width))
    first, second = _by_order(graph, pixels, height, width)
    narrow = _scale(graph, pixels, across, 3, {0: first, 2: _stretch(graph, down)})
    flat = _scale(graph, pixels, down, 2, {0: second, 3: _stretch(graph, across)})
    some = _scale(graph, narrow, _from_first(graph, down), 2, {})
    others = _scale(graph, flat, _from_first(graph, across), 3, {})
    levels = graph.node("Concat", some, others, axis=0)
    return graph.node("Cast", levels, to=TensorProto.UINT8)


def _by_order(
    graph: OnnxGraph, pixels: str, height: ScaledSide, width: ScaledSide
) -> tuple[_Span, _Span]:
    """Return which pictures are scaled across first: all, or where height loses more, none.

    Between the directions levels are rounded, so that the order shows. The others come second.
    """
    less_high, less_wide = (graph.node("Sub", s.given, s.scaled) for s in (height, width))
    lost = graph.multiply(graph.node("Max", less_wide, graph.whole(0)), graph.whole(2))
    across = graph.node("Cast", graph.node("LessOrEqual", less_high, lost), to=TensorProto.INT64)
    batch = graph.part(graph.node("Shape", pixels), 0, 0, 1)
    first = graph.multiply(across, batch)
    return (graph.whole(0), first), (first, batch)


def _stretch(graph: OnnxGraph, weights: _Weights) -> _Span:
    """Return what all blocks look at."""
    end = graph.add(graph.part(weights.begins, 0, -1), weights.length)
    return graph.part(weights.begins, 0, 0, 1), end


def _from_first(graph: OnnxGraph, weights: _Weights) -> _Weights:
    """Return weights for levels that begin where the first block does."""
    begins = graph.node("Sub", weights.begins, graph.part(weights.begins, 0, 0, 1))
    return replace(weights, begins=begins)


def _scale(
    graph: OnnxGraph, levels: str, weights: _Weights, axis: int, within: dict[int, _Span]
) -> str:
    """Scale levels along an axis, 2 or 3, within spans of other axes.

    A block at a time: most weights of a whole would be 0, and floats are four times as large as
    bytes.

    Returns:
        Whole numbers from 0 to 255, as floats; halves went up.
    """
    turned = graph.transpose(weights.values, (0, 1, 2) if axis == 2 else (0, 2, 1))
    axes, blocks = graph.whole(axis, *within), []
    for block in range(_BLOCKS):
        begin = graph.part(weights.begins, 0, block, block + 1)
        spans = [(begin, graph.add(begin, weights.length)), *within.values()]
        ends = [graph.node("Concat", *both, axis=0) for both in zip(*spans, strict=True)]
        seen = _float(graph, graph.node("Slice", levels, *ends, axes))
        own = graph.node("Gather", turned, graph.index(block))
        product = (_for_each(graph, own, seen), seen) if axis == 2 else (seen, own)
        blocks.append(graph.matmul(*product))
    joined = graph.node("Concat", *blocks, axis=axis)
    kept = graph.node("Slice", joined, graph.whole(0), weights.kept, graph.whole(axis))
    least, half, most = (graph.constant(np.array(value)) for value in (0.0, 0.5, 255.0))
    return graph.node("Clip", graph.node("Floor", graph.add(kept, half)), least, most)


def _for_each(graph: OnnxGraph, weights: str, levels: str) -> str:
    """Repeat weights for each picture and channel: older runtimes do not do so for no picture."""
    shape = graph.node("Shape", levels, start=0, end=2)
    shape = graph.node("Concat", shape, graph.whole(1, 1), axis=0)
    return graph.node("Expand", weights, shape)


def _weigh(graph: OnnxGraph, side: ScaledSide, interpolation: str) -> _Weights:
    """Say how much each pixel counts for each that is kept.

    Places are counted from the middle, in halves of a pixel times the scaled length: whole numbers
    that are exact, and stay small for runtimes that keep 32 bits of them.
    """
    larger = graph.node("Max", side.given, side.scaled)
    reach = graph.multiply(larger, graph.whole(2 * _REACH[interpolation]))
    more = graph.add(side.kept, graph.whole(_BLOCKS - 1))
    block = graph.divide(more, graph.whole(_BLOCKS))
    firsts = graph.add(side.start, graph.multiply(graph.whole(*range(_BLOCKS)), block))
    length = _length(graph, side, block, reach)
    begins = _begins(graph, side, firsts, reach, length)
    column = graph.reshape(_count(graph, block), (-1, 1))
    kept = graph.add(graph.reshape(firsts, (-1, 1, 1)), column)
    pixels = graph.add(graph.reshape(begins, (-1, 1, 1)), _count(graph, length))
    centres = graph.multiply(_middles(graph, kept, side.scaled), side.given)
    places = graph.multiply(_middles(graph, pixels, side.given), side.scaled)
    apart = _float(graph, graph.node("Sub", places, centres))
    unit = _float(graph, graph.multiply(larger, graph.whole(2)))
    filtered = _FILTERS[interpolation](graph, graph.node("Abs", graph.divide(apart, unit)))
    values = _quantised(graph, graph.divide(filtered, graph.total(filtered)))
    return _Weights(begins, length, values, side.kept)


def _quantised(graph: OnnxGraph, weights: str) -> str:
    """Round weights to the bits that Pillow's have: they decide where a level ends in a half."""
    steps = graph.constant(np.array(2.0**_BITS))
    return graph.divide(graph.node("Round", graph.multiply(weights, steps)), steps)


def _length(graph: OnnxGraph, side: ScaledSide, block: str, reach: str) -> str:
    """Return how many pixels a block looks at, and some more, for its begin is rounded."""
    steps = graph.multiply(graph.node("Sub", block, graph.whole(1)), side.given)
    span = graph.divide(graph.add(steps, reach), side.scaled)
    return graph.node("Min", graph.add(span, graph.whole(6)), side.given)


def _begins(graph: OnnxGraph, side: ScaledSide, firsts: str, reach: str, length: str) -> str:
    """Return the first pixels that blocks look at, or up to three before them."""
    centres = graph.multiply(_middles(graph, firsts, side.scaled), side.given)
    halves = graph.divide(graph.node("Sub", centres, reach), side.scaled)
    pixel = graph.divide(graph.add(halves, side.given), graph.whole(2))
    last = graph.node("Sub", side.given, length)
    found = graph.node("Min", graph.node("Sub", pixel, graph.whole(2)), last)
    return graph.node("Max", found, graph.whole(0))


def _middles(graph: OnnxGraph, numbers: str, length: str) -> str:
    """Return the places of pixels' middles, in halves of a pixel from that of the length."""
    odd = graph.add(graph.multiply(numbers, graph.whole(2)), graph.whole(1))
    return graph.node("Sub", odd, length)


def _count(graph: OnnxGraph, stop: str) -> str:
    """Return the numbers below one, int64 (stop,)."""
    end = graph.node("Squeeze", stop, graph.whole(0))
    return graph.node("Range", graph.index(0), end, graph.index(1))


def _triangle(graph: OnnxGraph, distances: str) -> str:
    return graph.node("Relu", graph.node("Sub", graph.constant(np.array(1.0)), distances))


def _cubic(graph: OnnxGraph, distances: str) -> str:
    """Return twice the cubic filter of coefficient -0.5.

    It is (v - 1) v^2 + (2 - 4 u) u^2 with v = 2 - x and u = 1 - x, or 0 where these are negative.
    """
    one, two, four = (graph.constant(np.array(value)) for value in (1.0, 2.0, 4.0))
    v = graph.node("Relu", graph.node("Sub", two, distances))
    below = graph.node("Sub", v, one)
    u = graph.node("Relu", below)
    steep = graph.node("Sub", two, graph.multiply(u, four))
    outer = graph.multiply(below, graph.multiply(v, v))
    return graph.add(outer, graph.multiply(steep, graph.multiply(u, u)))


_FILTERS = {"bicubic": _cubic, "bilinear": _triangle}


def _float(graph: OnnxGraph, value: str) -> str:
    return graph.node("Cast", value, to=TensorProto.FLOAT)
