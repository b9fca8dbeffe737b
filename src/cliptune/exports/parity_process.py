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


def _open_transformers(path: str) -> Run:
    from PIL import Image
    from transformers import pipeline

    # The code in this folder is what the export has just written, and nobody else's.
    classify = pipeline(
        "image-classification", model=str(Path(path).parent), trust_remote_code=True
    )
    places = classify.model.config.label2id

    def run(batch: Any) -> Arrays:
        said = classify([Image.fromarray(one) for one in batch], top_k=len(places))
        found = np.empty((len(batch), len(places)))
        for row, labels in enumerate(said):
            for one in labels:
                found[row, places[one["label"]]] = one["score"]
        return {"probabilities": found}

    return run


_OPENERS = {"onnx": _open_onnx, "openvino": _open_openvino, "transformers": _open_transformers}
_MODULES = {"onnx": "onnxruntime", "openvino": "openvino", "transformers": "transformers"}


def _answer(run: Run, inputs: Iterable[Any]) -> tuple[Arrays, float]:
    """Return outputs by name, each (N, ...), and the seconds that the graph itself took."""
    outputs: list[Arrays] = []
    seconds = 0.0
    for one in inputs:
        start = time.perf_counter()
        outputs.append(run(one[None]))
        seconds += time.perf_counter() - start
    return {name: np.concatenate([o[name] for o in outputs]) for name in outputs[0]}, seconds


def main(job_file: str) -> None:
    """Answer every graph of a job."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    sys.path.insert(0, job["consumer"])
    from predict import read_image  # type: ignore[import-not-found]  # what users get decodes here, and nothing else

    facts = []
    for number, graph in enumerate(job["graphs"]):
        opened = _OPENERS[graph["engine"]](graph["file"])
        if graph["input"] == "image":
            inputs = (read_image(file) for file in job["images"])
        else:
            inputs = np.load(job["pixels"], mmap_mode="r")
        outputs, seconds = _answer(opened, inputs)
        for name, values in outputs.items():
            np.save(Path(job["answers"]) / f"{number}-{name}.npy", values)
        facts.append(
            {"seconds": seconds, "runtime": sys.modules[_MODULES[graph["engine"]]].__version__}
        )
    allowed = {graph["engine"] for graph in job["graphs"]}
    foreign = {"cliptune"} if "transformers" in allowed else {"cliptune", "torch", "transformers"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    summary = {
        "graphs": facts,
        "foreign": sorted(foreign & set(sys.modules)),
        "peak_bytes": peak,
        "pid": os.getpid(),
    }
    (Path(job["answers"]) / "facts.json").write_text(json.dumps(summary), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
