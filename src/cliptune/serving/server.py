"""Listening: one process or several workers on one socket, and a graceful end.

It knows uvicorn, and nothing about routes.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cliptune.errors import MissingExtraError, UnavailableError
from cliptune.system.atomic import os_reason

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Config

    from cliptune.serving.settings import ServeSettings

__all__ = ["create_app", "require_server", "run_server"]

_SETTINGS = "CLIPTUNE_SERVE_SETTINGS"  # for workers, which start with nothing else
_BACKLOG = 2048


def require_server() -> None:
    """Make sure that what a server is made of is installed.

    Raises:
        MissingExtraError: It is not; the message names the extra.
    """
    try:
        import fastapi
        import httptools
        import prometheus_client
        import python_multipart
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("serve", "a server") from error
    assert all((fastapi, httptools, prometheus_client, python_multipart, uvicorn)), (
        "they are whole packages"
    )


def run_server(settings: ServeSettings, on_start: Callable[[str], None]) -> None:
    """Serve until a signal ends it; requests in flight are finished.

    Args:
        settings: How.
        on_start: Told the address once the socket is bound.

    Raises:
        UnavailableError: The address is taken or not this machine's.
        CliptuneError: A run cannot be opened.
    """
    import uvicorn

    with _listening(settings) as listener:
        address = _address(listener)
        if settings.workers == 1:
            config = _config(create_app_of(settings), settings)
            on_start(address)
            with _ending_quietly():
                uvicorn.Server(config).run(sockets=[listener])
            return
        with _environment_of_workers(settings):
            on_start(address)
            _run_workers(settings, listener)


def create_app() -> FastAPI:
    """Make the application of a worker, from what its environment says."""
    from cliptune.serving.settings import ServeSettings

    return create_app_of(ServeSettings.from_json(os.environ[_SETTINGS]))


def create_app_of(settings: ServeSettings) -> FastAPI:
    """Make the application."""
    from cliptune.serving.app import build_app

    return build_app(settings)


def _config(app: FastAPI | str, settings: ServeSettings) -> Config:
    from uvicorn import Config

    from cliptune.serving.protocol import ServerProtocol

    return Config(
        app,
        http=ServerProtocol,
        ws="none",
        factory=isinstance(app, str),
        workers=settings.workers,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=int(max(5, settings.timeout_seconds)),
        timeout_graceful_shutdown=int(settings.timeout_seconds) + 1,
        backlog=_BACKLOG,
    )


def _run_workers(settings: ServeSettings, listener: socket.socket) -> None:
    from uvicorn.supervisors import Multiprocess

    config = _config("cliptune.serving.server:create_app", settings)
    Multiprocess(config, sockets=[listener]).run()


@contextmanager
def _environment_of_workers(settings: ServeSettings) -> Iterator[None]:
    """Hand settings to workers, and a folder in which they add up what they count."""
    with tempfile.TemporaryDirectory(prefix="cliptune-metrics-") as folder:
        given = {_SETTINGS: settings.to_json(), "PROMETHEUS_MULTIPROC_DIR": folder}
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    kind = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(kind) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.host, settings.port))
            listener.listen(_BACKLOG)
            listener.set_inheritable(True)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on port {settings.port} of {settings.host!r} "
                f"({os_reason(error)}); end what does, or name another with --port"
            ) from error
        yield listener


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Let SIGTERM end the server and not the process: uvicorn raises it again when it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
