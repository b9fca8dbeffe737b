"""Run by itself in a fresh process: exported graphs on images, without torch and without cliptune.

It imports nothing but numpy, Pillow and the runtime, reads a job and writes what the graphs said::

    python -I parity_process.py JOB.json

The job names the graphs, their runtime and their input; the images as files; the prepared pixels;
and where the answers go.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]  # Any: one shape and dtype an output
Run = Callable[[Any], Arrays]


def _open_onnx(path: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    given = session.get_inputs()[0].name
    return lambda batch: dict(zip(names, session.run(names, {given: batch}), strict=True))


def _open_openvino(path: str) -> Run:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would report to its makers
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    names = [output.get_any_name() for output in compiled.outputs]
    given = compiled.inputs[0].get_any_name()

    def run(batch: Any) -> Arrays:
        found = compiled({given: batch})
        return {name: found[name].copy() for name in names}

    return run


def _answer(run: Run, inputs: Iterable[Any]) -> tuple[Arrays, float]:
    """Return outputs by name, each (N, ...), and the seconds that the graph itself took."""
    outputs: list[Arrays] = []
    seconds = 0.0
    for one in inputs:
        start = time.perf_counter()
        outputs.append(run(one[None]))
        seconds += time.perf_counter() - start
    return {name: np.concatenate([o[name] for o in outputs]) for name in outputs[0]}, seconds


def _version(engine: str) -> str:
    module = sys.modules["openvino" if engine == "openvino" else "onnxruntime"]
    return str(module.__version__)


def main(job_file: str) -> None:
    """Answer every graph of a job."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    sys.path.insert(0, job["consumer"])
    from predict import read_image  # type: ignore[import-not-found]  # what users get decodes here, and nothing else

    facts = []
    for number, graph in enumerate(job["graphs"]):
        opened = {"onnx": _open_onnx, "openvino": _open_openvino}[graph["engine"]](graph["file"])
        if graph["input"] == "image":
            inputs = (read_image(file) for file in job["images"])
        else:
            inputs = np.load(job["pixels"], mmap_mode="r")
        outputs, seconds = _answer(opened, inputs)
        for name, values in outputs.items():
            np.save(Path(job["answers"]) / f"{number}-{name}.npy", values)
        facts.append({"seconds": seconds, "runtime": _version(graph["engine"])})
    foreign = sorted({"torch", "cliptune", "transformers"} & set(sys.modules))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    summary = {"graphs": facts, "foreign": foreign, "peak_bytes": peak, "pid": os.getpid()}
    (Path(job["answers"]) / "facts.json").write_text(json.dumps(summary), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
