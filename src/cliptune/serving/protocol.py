"""Connections of slow and of half-closed clients, which uvicorn's own protocol does not look after.

It knows sockets and uvicorn's protocol, and nothing about what is asked.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["ServerProtocol"]


class ServerProtocol(HttpToolsProtocol):
    """HTTP of a connection; a request's head must arrive within the time of an idle connection.

    A client that has sent its request and closed its side gets its answer all the same.
    """

    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as its base
        """Begin, and wait for a first request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read, and where a head has begun, wait for its end."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Go on to the body, whose time is limited by whoever reads it."""
        self._stop_waiting()
        super().on_headers_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # None and False are the same
        """Keep the connection where a whole request is being answered."""
        cycle = self.cycle
        answering = cycle is not None and not cycle.more_body and not cycle.response_complete
        if answering:
            cycle.keep_alive = False
        return answering

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
