"""The part of an image graph that resizes and crops, alone: what it does to pixels can be measured.

It knows graphs and transforms, and nothing about towers or heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto

    from cliptune.encoders.preprocess import Preprocess

__all__ = ["ResizeParity", "compare_pixels", "preparing_graph", "write_preparing_graph"]


@dataclass(frozen=True)
class ResizeParity:
    """The pixels that a graph gives its tower, held against Pillow's.

    Attributes:
        n: Images.
        n_sizes: Different widths and heights among the images.
        equal: Share of levels, one a pixel and channel, that are the same.
        within_one: Share of levels that differ by at most one of 255.
        mean_difference: In levels.
        largest_difference: In levels.
    """

    n: int
    n_sizes: int
    equal: float
    within_one: float
    mean_difference: float
    largest_difference: int


def preparing_graph(preprocess: Preprocess) -> ModelProto:
    """Return the graph from ``image``, uint8 (B, H, W, 3), to ``pixels``, uint8 (B, 3, h, w)."""
    from onnx import TensorProto

    from cliptune.exports.onnx_graph import OnnxGraph
    from cliptune.exports.resizing import add_preprocessing

    graph = OnnxGraph()
    image = graph.add_input("image", TensorProto.UINT8, ["batch", "height", "width", 3])
    pixels = add_preprocessing(graph, image, preprocess)
    graph.add_output(pixels, "pixels", TensorProto.UINT8, ["batch", *preprocess.shape])
    return graph.to_model({})


def write_preparing_graph(
    preprocess: Preprocess, folder: Path, kind: Literal["onnx", "openvino"]
) -> Path:
    """Write that graph in a format of export, and return its file."""
    model = preparing_graph(preprocess)
    if kind == "openvino":
        from cliptune.exports.openvino_graph import write_openvino

        target = folder / "preparing.xml"
        write_openvino(model, target)
        return target
    target = folder / "preparing.onnx"
    target.write_bytes(model.SerializeToString())
    return target


def compare_pixels(
    found: NDArray[np.uint8], wanted: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]
) -> ResizeParity:
    """Hold pixels (N, 3, h, w) against Pillow's, of images of these widths and heights."""
    counts = np.zeros(256, dtype=np.int64)
    for one, other in zip(found, wanted, strict=True):
        apart = np.abs(one.astype(np.int16) - other)
        counts += np.bincount(apart.ravel(), minlength=256)
    shares = counts / counts.sum()
    return ResizeParity(
        n=len(found),
        n_sizes=len(set(sizes)),
        equal=float(shares[0]),
        within_one=float(shares[:2].sum()),
        mean_difference=float(shares @ np.arange(256)),
        largest_difference=int(np.flatnonzero(counts)[-1]),
    )
