"""The server of the page: endpoints, static files, who may ask, and how errors are told.

It knows HTTP, and leaves what is asked to the desk.
"""

from __future__ import annotations

import socket
from importlib import resources

from fastapi import FastAPI, Request, Response
from fastapi.middleware import Middleware
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from cliptune import __version__
from cliptune.app.desk import Desk
from cliptune.app.guard import Guard
from cliptune.app.loop_routes import loop
from cliptune.app.page_access import Access
from cliptune.app.routes import look_and_label
from cliptune.errors import BadImageError, CliptuneError, InputError, UnavailableError

__all__ = ["bind", "make_app", "serve"]

_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HOST = "127.0.0.1"
_BACKLOG = 128


def make_app(desk: Desk, access: Access) -> FastAPI:
    """Make the application.

    Args:
        desk: What is shown.
        access: Who may ask.
    """
    app = FastAPI(
        middleware=[Middleware(Guard, access=access)],
        title="cliptune app",
        version=__version__,
        docs_url=None,
        redoc_url=None,
    )

    @app.exception_handler(CliptuneError)
    async def tell(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": " ".join(str(error).split())}, _status(error))

    @app.get("/ready")
    def ready() -> PlainTextResponse:
        return PlainTextResponse("ready\n")

    @app.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        response = HTMLResponse(_static("index.html"))
        response.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
        return response

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        kind = _KINDS.get(name[name.rfind(".") :])
        known = {file.name for file in resources.files("cliptune.app").joinpath("static").iterdir()}
        if kind is None or name not in known:
            return PlainTextResponse("there is no such file\n", 404)
        return Response(_static(name), media_type=kind, headers={"Cache-Control": "no-cache"})

    app.include_router(look_and_label(desk))
    app.include_router(loop(desk))
    return app


def bind(port: int) -> socket.socket:
    """Take a port of this machine; 0 takes any that is free.

    Raises:
        InputError: It is in use, or not ours to take.
    """
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((_HOST, port))
        taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        raise InputError(
            f"port {port} cannot be had ({error.strerror or error}); stop what uses it, or name "
            "another with --port"
        ) from error
    return taken


def serve(app: FastAPI, taken: socket.socket) -> None:
    """Serve until the process is interrupted."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[taken])


def _status(error: Exception) -> int:
    if isinstance(error, BadImageError):
        return 410
    return 507 if isinstance(error, UnavailableError) else 400


def _static(name: str) -> bytes:
    return resources.files("cliptune.app").joinpath("static", name).read_bytes()
