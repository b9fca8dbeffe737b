"""Who may ask, and what is counted: two layers around the application.

They know headers and nothing about what is asked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cliptune.serving.metrics import Metrics

__all__ = ["Counting", "TokenGuard"]

_OPEN = ("/health", "/ready")


class TokenGuard:
    """Refuses requests without the token, but to ``/health`` and ``/ready``.

    Args:
        app: What is guarded.
        token: What must stand behind ``Authorization: Bearer``.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._digest = app, _digest(token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse."""
        if scope["type"] != "http" or scope["path"] in _OPEN or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        body = json.dumps({"detail": "send the server's token: Authorization: Bearer TOKEN"})
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})

    def _may_pass(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = given.partition(b" ")
        # Digests have one length, so that the time says nothing of the token's.
        return (
            hmac.compare_digest(_digest(token.strip()), self._digest) and kind.lower() == b"bearer"
        )


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


class Counting:
    """Counts requests by path and status, and their seconds.

    Args:
        app: What is counted.
        metrics: Where.
        paths: Those that are told apart; all others are one.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"
        start, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
