"""``cliptune serve``: runs behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cliptune.cli.numbers import number, whole
from cliptune.errors import InputError
from cliptune.serving.settings import LOOPBACK, ServeSettings
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.serve import serve as serve_runs

__all__ = ["serve"]


def serve(
    *runs: str,
    host: str = LOOPBACK,
    port: Annotated[int, whole(0, 65535)] = 8000,
    workers: Annotated[int, whole(1)] = 1,
    max_batch: Annotated[int, whole(1)] = 16,
    max_wait_ms: Annotated[float, number(at_least=0)] = 5.0,
    max_queue: Annotated[int, whole(1)] = 256,
    max_items: Annotated[int, whole(1)] = 64,
    max_bytes: Annotated[int, whole(1)] = 64 << 20,
    max_pixels: Annotated[int, whole(1)] = 50_000_000,
    timeout: Annotated[float, number(above=0)] = 30.0,
    reload: Annotated[float, number(at_least=0)] = 1.0,
    token_file: Path | None = None,
    drift: bool = False,
    engine: Literal["auto", "torch", "openvino", "onnx"] = "auto",
    cache_dir: Path | None = None,
) -> None:
    """Serve finished runs and exports over HTTP, many requests in one batch.

    POST /v1/predict takes files (multipart field 'files'), base64 in JSON, or an image as the
    body; /openapi.json describes everything.

    Args:
        runs: Folders of runs or exports; NAME=FOLDER gives one another name.
        host: Address to listen on; only this machine can reach the usual one.
        port: Port to listen on; 0 takes a free one.
        workers: Processes, each with runs and limits of its own.
        max_batch: Images that go through an encoder together.
        max_wait_ms: So long a batch waits for images that are on their way.
        max_queue: Images that may wait or be worked on; beyond, requests get 429.
        max_items: Images in one request.
        max_bytes: Bytes of one request.
        max_pixels: Pixels of one image.
        timeout: Seconds for a request to arrive, and then to be answered.
        reload: Seconds between looks at the folders; 0 never looks.
        token_file: File with the token that requests must bring; nobody else may read it.
        drift: Compare what is served with what was trained on, at /v1/runs/NAME/drift.
        engine: What runs encoders.
        cache_dir: Where graphs are kept; $CLIPTUNE_CACHE or the user's cache otherwise.
    """
    if not runs:
        raise InputError("no run came; name the folder of a finished run or of an export")
    settings = ServeSettings(
        runs={},
        host=host,
        port=port,
        workers=workers,
        max_batch=max_batch,
        max_wait_ms=max_wait_ms,
        max_queue=max_queue,
        max_items=max_items,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        timeout_seconds=timeout,
        reload_seconds=reload,
        token_file=None if token_file is None else str(token_file),
        drift=drift,
        engine=engine,
        cache_dir=None if cache_dir is None else str(cache_dir),
    )
    serve_runs(runs, settings=settings, progress=TerminalWatch())
