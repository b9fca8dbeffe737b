"""An export at work: its graph for prepared pixels, without torch and without the run.

It knows the files of an export, and nothing about HTTP or batches.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.engines.runtimes import (
    calls_at_once,
    hold_a_while,
    onnx_session,
    openvino_settings,
)
from cliptune.encoders.preprocess import Preprocess
from cliptune.errors import CliptuneError, RunError
from cliptune.serving.pace import Pace
from cliptune.serving.served import Answer, ServedRun, Tower
from cliptune.system.file_kinds import is_file

__all__ = ["is_export", "open_export"]

_RECORD = "export.json"
_GRAPHS = ("pixels.onnx", "pixels.xml")
Outputs = Mapping[str, NDArray[Any]]  # Any: one dtype an output
_Opened = tuple[Callable[[NDArray[np.uint8]], Outputs], Mapping[str, str]]


def is_export(folder: Path) -> bool:
    """Say whether a folder is one that ``export`` wrote."""
    return is_file(folder / _RECORD)


def open_export(name: str, folder: Path, pace: Pace) -> ServedRun:
    """Open the graph for prepared pixels.

    Args:
        name: What it is to be served under.
        folder: Where it is.
        pace: Of its tower.

    Raises:
        RunError: There is none, or it is broken.
    """
    graph = next((folder / one for one in _GRAPHS if is_file(folder / one)), None)
    if graph is None:
        raise RunError(
            f"{str(folder)!r} holds no graph for prepared pixels, which is served; export it again "
            "without --input"
        )
    try:
        run, texts = (_open_openvino if graph.suffix == ".xml" else _open_onnx)(graph)
        facts = {key: json.loads(text) for key, text in texts.items()}
        preprocess = Preprocess.from_dict(facts["preprocess"])
        digest = _digest(graph)
        return ServedRun(
            name=name,
            digest=digest,
            class_names=tuple(facts["class_names"]),
            method=facts["method"],
            model=facts["model"],
            threshold=facts["threshold"],
            preprocess=preprocess,
            min_sides=(preprocess.min_side,),
            tower=Tower((digest,), run, pace, calls_at_once(), on_cores=True),
            answer=_answer,
            text_rows=None,
            templates=(),
            logit_scale=1.0,
            thresholds=_thresholds(facts),
        )
    except CliptuneError:
        raise
    except Exception as error:  # the runtimes raise types of their own
        words = " ".join(str(error).split())[:200]
        raise RunError(f"{str(graph)!r} is broken ({words}); export it again") from error


def _thresholds(facts: Mapping[str, Any]) -> tuple[float, ...] | None:  # Any: plain JSON values
    given = facts.get("thresholds")  # exports of older releases say nothing of them
    return None if given is None else tuple(map(float, given))


def _answer(outputs: Outputs) -> Answer:
    probabilities = np.asarray(outputs["probabilities"], dtype=np.float64)
    return Answer(probabilities, np.asarray(outputs["embedding"], dtype=np.float32))


def _open_onnx(graph: Path) -> _Opened:
    session = onnx_session(graph, calls_at_once())
    names = [output.name for output in session.get_outputs()]

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))

    return run, session.get_modelmeta().custom_metadata_map


def _open_openvino(graph: Path) -> _Opened:
    from cliptune.encoders.engines.intel import import_openvino

    openvino = import_openvino()
    core = openvino.Core()
    model = core.read_model(graph)
    facts = {
        key: model.get_rt_info(["cliptune", key]).astype(str)
        for key in ("class_names", "method", "model", "threshold", "thresholds", "preprocess")
        if model.has_rt_info(["cliptune", key])
    }
    compiled = core.compile_model(model, "CPU", openvino_settings("fp32", calls_at_once()))
    names = [output.get_any_name() for output in compiled.outputs]
    requests: dict[int, Any] = {}  # by thread: each holds buffers, used again and again

    def run(pixels: NDArray[np.uint8]) -> Outputs:
        own = threading.get_ident()
        if own not in requests:
            requests[own] = compiled.create_infer_request()
        found = requests[own].infer({"pixels": pixels})
        return {name: found[name].copy() for name in names}

    hold_a_while(run, (compiled, requests))
    return run, facts


def _digest(graph: Path) -> str:
    digest = hashlib.sha256()
    for file in (graph, graph.with_suffix(".bin"), graph.with_name(f"{graph.name}.data")):
        if is_file(file):
            digest.update(file.read_bytes())
    return digest.hexdigest()
