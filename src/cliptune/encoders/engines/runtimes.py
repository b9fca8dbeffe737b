"""Running a converted graph: OpenVINO or ONNX Runtime, arrays in and arrays out.

It knows neither encoders nor caches. Both runtimes get several requests at once, each on one
core: no core waits for another in the middle of a layer, and threads that decode images take
what the requests leave.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Timer, get_ident
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.engines.intel import import_openvino
from cliptune.errors import MissingExtraError
from cliptune.system.processors import usable_cores

__all__ = [
    "ENGINES",
    "IMAGES_AT_ONCE",
    "Run",
    "calls_at_once",
    "hold_a_while",
    "is_installed",
    "onnx_session",
    "open_graph",
    "openvino_settings",
    "require_installed",
]

ENGINES = ("auto", "torch", "openvino", "onnx")
EXTRAS = {"openvino": "fast", "onnx": "onnx", "openvino-int8": "int8", "torch": "fast"}
_PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}
# What one request takes: so many images, or texts of about as many tokens as these have patches;
# more do not stay in a core's cache, fewer leave it waiting. Measured with ViT-B/32.
IMAGES_AT_ONCE, _TOKENS_AT_ONCE = 8, 512
_CORES_FOR_ONE = 4
_SECONDS_TO_LEAVE = 30.0  # a busy machine may not let a thread run for more than one


_One = Callable[[NDArray[Any]], NDArray[np.float32]]


class Run(Protocol):
    """From a batch of inputs (B, ...) to float32 rows (B, ...)."""

    def __call__(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        """Compute in parts, several at once; may be called from several threads."""
        ...

    def alone(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        """Compute a copy of all inputs in one request that is waited for."""
        ...


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


def open_graph(
    engine: str,
    path: Path,
    *,
    precision: str,
    n_images: int = IMAGES_AT_ONCE,
    of_threads: bool = False,
) -> Run:
    """Load a graph.

    Args:
        engine: ``openvino`` or ``onnx``.
        path: ``.xml`` or ``.onnx``.
        precision: ``fp32``, or with OpenVINO ``bf16`` (``int8`` stands in the graph itself).
        n_images: How many images one request takes, or texts of about as many tokens; with 1 each
            text has one of its own too.
        of_threads: A call's requests follow each other, so that ``calls_at_once`` threads can call
            side by side; otherwise a call fills all cores with several requests.

    Raises:
        RuntimeError: The runtime refuses the graph.
    """
    cores = usable_cores()
    if of_threads:
        one = _open_vino_alone(path, precision) if engine == "openvino" else _onnx_alone(path)
        return _OfThreads(one, n_images)
    if engine == "openvino":
        return _OpenVino(path, precision, cores, n_images)
    return _Onnx(path, cores, n_images)


def calls_at_once() -> int:
    """Return how many requests share the cores where each is some thread's.

    One a core on small machines, so that no core waits for another; of larger ones each gets up to
    four cores, so that a lone image does not wait for one core alone.
    """
    cores = usable_cores()
    return max(min(cores, _CORES_FOR_ONE), cores // _CORES_FOR_ONE)


def openvino_settings(precision: str, at_once: int) -> dict[str, Any]:  # Any: texts and numbers
    """Return what a model is compiled with for so many requests side by side."""
    return {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "NUM_STREAMS": at_once,
        "INFERENCE_NUM_THREADS": usable_cores(),
        "ENABLE_CPU_PINNING": False,
    }


def onnx_session(path: Path, at_once: int) -> Any:  # Any: it comes from compiled code
    """Return a session whose requests, so many side by side, share the cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, usable_cores() // at_once)
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class _OpenVino:
    """A compiled graph and its requests."""

    def __init__(self, path: Path, precision: str, cores: int, n_images: int) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        self._cores, self._n_images = cores, n_images
        self._compiled = core.compile_model(path, "CPU", openvino_settings(precision, cores))
        self._output = self._compiled.output(0)
        self._new_queue: Callable[..., Any] = openvino.AsyncInferQueue
        # Any: OpenVINO's types come from compiled code
        self._held: dict[str, Any] = {"model": self._compiled}
        self._held["queue"] = self._new_queue(self._compiled, cores)
        self._turn = Lock()  # a queue has one callback, which belongs to one batch
        hold_a_while(self, self._held)

    def __call__(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        rows: dict[int, NDArray[np.float32]] = {}
        output = self._output

        def keep(request: Any, start: int) -> None:
            rows[start] = request.get_tensor(output).data.copy()

        # Each request gets a copy. An array that is shared instead is read where it lies, though
        # nobody but the caller keeps it; and the graph goes on pointing to it after the request
        # has ended, so that later requests of other kinds write into it (OpenVINO 2026.4).
        parts = _parts(inputs, self._n_images)
        with self._turn:
            queue = self._held["queue"]
            try:
                queue.set_callback(keep)
                for start, part in parts:
                    queue.start_async({0: part}, start, share_inputs=False)
                queue.wait_all()
            except BaseException:
                self._replace_queue()
                raise
        return np.concatenate([rows[start] for start, _ in parts])

    def alone(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        own = np.array(inputs, order="C", copy=True)
        with self._turn:
            if "single" not in self._held:
                self._held["single"] = self._compiled.create_infer_request()
            request = self._held["single"]
            request.infer({0: own}, share_inputs=False)
            rows: NDArray[np.float32] = request.get_tensor(self._output).data.copy()
        return rows

    def _replace_queue(self) -> None:
        """Wait for what still runs, then start afresh: a queue keeps the errors of its past."""
        for request in self._held["queue"]:
            with suppress(RuntimeError):
                request.wait()
        self._held["queue"] = self._new_queue(self._compiled, self._cores)


def _let_go_later(held: object) -> None:
    """Hold objects a while longer than their user does.

    OpenVINO's threads still leave a request when all are reported as done. One that then turns out
    to be the last to hold the model takes it down with its threads, waits for itself, and ends the
    process.
    """
    timer = Timer(_SECONDS_TO_LEAVE, lambda _: None, (held,))
    timer.daemon = True
    timer.start()


def hold_a_while(owner: object, held: object) -> None:
    """Hold what OpenVINO made for some time beyond the life of its owner; see ``_let_go_later``."""
    weakref.finalize(owner, _let_go_later, held).atexit = False


class _OfThreads:
    """A graph that threads run side by side, one request after the other each."""

    def __init__(self, one: _One, n_images: int) -> None:
        self._one, self._n_images = one, n_images

    def __call__(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        return np.concatenate([self._one(part) for _, part in _parts(inputs, self._n_images)])

    def alone(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        return self._one(np.array(inputs, order="C", copy=True))


def _open_vino_alone(path: Path, precision: str) -> _One:
    """Compile a model; return what runs one request of the thread that calls."""
    settings = openvino_settings(precision, calls_at_once())
    compiled = import_openvino().Core().compile_model(path, "CPU", settings)
    output = compiled.output(0)
    requests: dict[int, Any] = {}  # by thread; Any: OpenVINO's types come from compiled code

    def one(inputs: NDArray[Any]) -> NDArray[np.float32]:
        own = get_ident()
        if own not in requests:
            requests[own] = compiled.create_infer_request()
        requests[own].infer({0: inputs}, share_inputs=False)
        rows: NDArray[np.float32] = requests[own].get_tensor(output).data.copy()
        return rows

    hold_a_while(one, (compiled, requests))
    return one


def _onnx_alone(path: Path) -> _One:
    """Open a session; return what runs one request of the thread that calls."""
    session = onnx_session(path, calls_at_once())
    name = session.get_inputs()[0].name

    def one(inputs: NDArray[Any]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = session.run(None, {name: inputs})[0]
        return rows

    return one


class _Onnx:
    """A session that threads share."""

    def __init__(self, path: Path, cores: int, n_images: int) -> None:
        self._session = onnx_session(path, cores)
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="cliptune-onnx")
        self._n_images = n_images
        self._name = self._session.get_inputs()[0].name

    def __call__(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        parts = [part for _, part in _parts(inputs, self._n_images)]
        return np.concatenate(list(self._pool.map(self._infer, parts)))

    def alone(self, inputs: NDArray[Any], /) -> NDArray[np.float32]:
        return self._infer(np.array(inputs, order="C", copy=True))

    def _infer(self, part: NDArray[Any]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._session.run(None, {self._name: part})[0]
        return rows


def _parts(inputs: NDArray[Any], n_images: int) -> list[tuple[int, NDArray[Any]]]:
    """Cut images (B, 3, H, W) or token ids (T, L) into what one request takes."""
    n = n_images
    if inputs.ndim == 2 and n > 1:
        n = max(n, _TOKENS_AT_ONCE // inputs.shape[1])
    return [
        (start, np.ascontiguousarray(inputs[start : start + n]))
        for start in range(0, len(inputs), n)
    ]
