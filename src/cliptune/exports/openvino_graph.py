"""An ONNX graph as OpenVINO's format, with Pillow's own resize in it.

It knows what the converter leaves out, and nothing about towers or heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnx import ModelProto

from cliptune.encoders.engines.intel import import_openvino

__all__ = ["write_openvino"]

_PILLOW = {"cubic": "bicubic_pillow", "linear_onnx": "bilinear_pillow", "linear": "bilinear_pillow"}


def write_openvino(model: ModelProto, target: Path) -> None:
    """Write ``target`` (.xml) and its weights (.bin), float32, with the graph's metadata.

    The converter keeps ``antialias`` as an attribute of a cubic resize, but the processor's
    kernels filter only in the modes that are named after Pillow (OpenVINO 2026.4).
    """
    openvino = import_openvino()
    source = target.with_suffix(".onnx-source")
    source.write_bytes(model.SerializeToString())
    try:
        graph = openvino.convert_model(source)
    finally:
        source.unlink()
    for node in graph.get_ops():
        if node.get_type_name() == "Interpolate" and node.get_attributes()["antialias"]:
            _filter_as_pillow(node)
    for entry in model.metadata_props:
        graph.set_rt_info(entry.value, ["cliptune", entry.key])
    openvino.save_model(graph, target, compress_to_fp16=False)


def _filter_as_pillow(node: Any) -> None:  # Any: OpenVINO's types come from compiled code
    from openvino import opset13 as ops

    two, four = ops.constant([2]), ops.constant([4])
    sizes = ops.slice(node.input_value(1), two, four, ops.constant([1]))
    filtered = ops.interpolate(
        node.input_value(0),
        sizes,
        mode=_PILLOW[node.get_attributes()["mode"]],
        shape_calculation_mode="sizes",
        pads_begin=[0] * 4,
        pads_end=[0] * 4,
        cube_coeff=-0.5,
        axes=ops.constant([2, 3]),
    )
    node.output(0).replace(filtered.output(0))
