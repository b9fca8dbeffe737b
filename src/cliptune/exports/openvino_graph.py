"""An ONNX graph as OpenVINO's format.

It knows what the converter leaves out, and nothing about towers or heads.
"""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto

from cliptune.encoders.engines.intel import import_openvino

__all__ = ["write_openvino"]


def write_openvino(model: ModelProto, target: Path) -> None:
    """Write ``target`` (.xml) and its weights (.bin), float32, with the graph's metadata."""
    openvino = import_openvino()
    source = target.with_suffix(".onnx-source")
    source.write_bytes(model.SerializeToString())
    try:
        graph = openvino.convert_model(source)
    finally:
        source.unlink()
    for entry in model.metadata_props:
        graph.set_rt_info(entry.value, ["cliptune", entry.key])
    openvino.save_model(graph, target, compress_to_fp16=False)
