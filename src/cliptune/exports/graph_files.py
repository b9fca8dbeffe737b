"""Graphs of a run in a folder, with what their users need beside them.

It knows which files there are, and leaves what is in a graph to its writers.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.encoders.engines.runtimes import is_installed
from cliptune.errors import MissingExtraError
from cliptune.exports.parity import ExportedGraph

if TYPE_CHECKING:
    from onnx import ModelProto

    from cliptune.exports.classifier_graph import GraphInput
    from cliptune.exports.source import ExportSource

__all__ = ["require_runtime", "write_graphs"]

_CONSUMERS = Path(__file__).parent / "consumer"
_MOST_BYTES = 1_900_000_000  # of one protobuf message, which cannot hold 2 GiB


def write_graphs(
    source: ExportSource,
    folder: Path,
    kind: Literal["onnx", "openvino"],
    inputs: Sequence[GraphInput],
) -> tuple[ExportedGraph, ...]:
    """Write a graph for each input.

    Raises:
        InputError: The head cannot be written as a graph.
        ConversionError: The encoder cannot be converted.
        MissingExtraError: What writes or runs the format is not installed.
    """
    from cliptune.exports.classifier_graph import build_classifier_graph

    require_runtime(kind)
    towers = source.towers()
    written = []
    for given in inputs:
        model = build_classifier_graph(
            source.classifier, towers, preprocess=source.preprocess, given=given
        )
        target = folder / f"{given}.{'onnx' if kind == 'onnx' else 'xml'}"
        _write_one(model, target, kind)
        written.append(ExportedGraph(target, kind, given))
    if kind == "onnx" and "image" in inputs:
        for consumer in ("predict.py", "predict.html"):
            shutil.copyfile(_CONSUMERS / consumer, folder / consumer)
    if "pixels" in inputs:
        _write_image_of_server(folder, kind)
    return tuple(written)


def _write_image_of_server(folder: Path, kind: str) -> None:
    """Write what a container with a server is built from."""
    shutil.copyfile(_CONSUMERS / "Dockerfile", folder / "Dockerfile")
    needed = (_CONSUMERS / "requirements.txt").read_text(encoding="utf-8")
    if kind == "openvino":
        needed = needed.replace("onnxruntime>=1.32", "openvino>=2026.4")
    (folder / "requirements.txt").write_text(needed, encoding="utf-8")


def require_runtime(kind: Literal["onnx", "openvino"]) -> None:
    """Make sure that a graph can be written and run here.

    Raises:
        MissingExtraError: It cannot; the message names the extra.
    """
    if not is_installed(kind):
        raise MissingExtraError("export", f"--format {kind}")


def _write_one(model: ModelProto, target: Path, kind: str) -> None:
    if kind == "openvino":
        from cliptune.exports.openvino_graph import write_openvino

        write_openvino(model, target)
        return
    import onnx

    large = model.ByteSize() > _MOST_BYTES
    onnx.save(model, target, save_as_external_data=large, location=f"{target.name}.data")
