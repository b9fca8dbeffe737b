"""Running a converted graph: OpenVINO or ONNX Runtime, arrays in and arrays out.

It knows neither encoders nor caches. Both runtimes get several requests at once, each on one
core: no core waits for another in the middle of a layer, and threads that decode images take
what the requests leave.
"""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import MissingExtraError
from cliptune.processors import usable_cores

__all__ = ["ENGINES", "Run", "is_installed", "open_graph", "require_installed"]

ENGINES = ("auto", "torch", "openvino", "onnx")
EXTRAS = {"openvino": "fast", "onnx": "onnx", "openvino-int8": "int8", "torch": "fast"}
_PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}
# What one request takes: so many images, or texts of about as many tokens as these have patches;
# more do not stay in a core's cache, fewer leave it waiting. Measured with ViT-B/32.
_IMAGES_AT_ONCE, _TOKENS_AT_ONCE = 8, 512
_SECONDS_TO_LEAVE = 1.0


class Run(Protocol):
    """From a batch of inputs (B, ...) to float32 rows (B, ...)."""

    def __call__(self, inputs: NDArray[Any], /) -> NDArray[np.float32]: ...  # noqa: D102


def is_installed(engine: str) -> bool:
    """Say whether what runs an engine is installed."""
    return find_spec(_PACKAGES[engine]) is not None


def require_installed(engine: str) -> None:
    """Make sure that an engine is installed.

    Raises:
        MissingExtraError: It is not; the message names the extra.
    """
    if not is_installed(engine):
        raise MissingExtraError(EXTRAS[engine], f"the engine {engine!r}")


def open_graph(engine: str, path: Path, *, precision: str) -> Run:
    """Load a graph.

    Args:
        engine: ``openvino`` or ``onnx``.
        path: ``.xml`` or ``.onnx``.
        precision: ``fp32``, or with OpenVINO ``bf16`` (``int8`` stands in the graph itself).

    Raises:
        RuntimeError: The runtime refuses the graph.
    """
    cores = usable_cores()
    return _openvino(path, precision, cores) if engine == "openvino" else _onnx(path, cores)


def _openvino(path: Path, precision: str, cores: int) -> Run:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(path, "CPU", settings)
    # Any: OpenVINO's types come from compiled code
    queue: Any = openvino.AsyncInferQueue(compiled, cores)
    output = compiled.output(0)

    def run(inputs: NDArray[Any], /) -> NDArray[np.float32]:
        rows: dict[int, NDArray[np.float32]] = {}

        def keep(request: Any, start: int) -> None:
            rows[start] = request.get_tensor(output).data.copy()

        queue.set_callback(keep)
        for start, part in _parts(inputs):
            queue.start_async({0: part}, start, share_inputs=True)
        queue.wait_all()
        return np.concatenate([rows[start] for start in sorted(rows)])

    weakref.finalize(run, _let_go_later, queue, compiled).atexit = False
    return run


def _let_go_later(*held: object) -> None:
    """Hold objects a while longer than their user does.

    OpenVINO's threads still leave a request when all are reported as done. One that then turns out
    to be the last to hold the model takes it down with its threads, waits for itself, and ends the
    process.
    """
    timer = Timer(_SECONDS_TO_LEAVE, lambda *_: None, held)
    timer.daemon = True
    timer.start()


def _onnx(path: Path, cores: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pool = ThreadPoolExecutor(cores, thread_name_prefix="cliptune-onnx")
    name = session.get_inputs()[0].name

    def one(part: NDArray[Any]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = session.run(None, {name: part})[0]
        return rows

    def run(inputs: NDArray[Any], /) -> NDArray[np.float32]:
        return np.concatenate(list(pool.map(one, (part for _, part in _parts(inputs)))))

    return run


def _parts(inputs: NDArray[Any]) -> list[tuple[int, NDArray[Any]]]:
    """Cut images (B, 3, H, W) or token ids (T, L) into what one request takes."""
    n = _IMAGES_AT_ONCE
    if inputs.ndim == 2:
        n = max(n, _TOKENS_AT_ONCE // inputs.shape[1])
    return [
        (start, np.ascontiguousarray(inputs[start : start + n]))
        for start in range(0, len(inputs), n)
    ]
