"""Guard: stands before all endpoints, asks ``Access``, and puts the policy on every answer.

It knows the protocol between server and application, and nothing about what is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cliptune.app.page_access import HEADERS, Access

__all__ = ["Guard"]


@dataclass(frozen=True)
class Guard:
    """An application around another.

    Attributes:
        app: The other.
        access: Who may ask it.
    """

    app: ASGIApp
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        refused = self.access.refusal(scope["method"], scope["path"], query, headers)
        answer = self.app if refused is None else _refusal(scope["path"], *refused)
        await answer(scope, receive, send_with_policy)


def _refusal(path: str, status: int, reason: str) -> ASGIApp:
    if path == "/":
        return PlainTextResponse(f"cliptune: {reason}\n", status)
    return JSONResponse({"error": reason}, status)
