"""Jobs: one piece of work in the background, with how far it is and a way to call it off.

It knows threads, and nothing about what is being done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cliptune.errors import CliptuneError, InputError

__all__ = ["JobState", "Jobs", "Work"]


@dataclass(frozen=True)
class JobState:
    """How a piece of work stands.

    Attributes:
        number: Counts pieces of work, from 1; 0 before the first.
        kind: What is being done.
        state: ``idle``, ``running``, ``done``, ``failed`` or ``cancelled``.
        done: Steps that are done.
        total: Steps in all.
        text: What came out, or what went wrong.
    """

    number: int = 0
    kind: str = ""
    state: str = "idle"
    done: int = 0
    total: int = 1
    text: str = ""


Work = Callable[[Callable[[int, int], None], Callable[[], bool]], str]
"""Takes a function that is told steps done and in all, and one that says whether to stop."""


@dataclass
class Jobs:
    """At most one piece of work at a time."""

    _state: JobState = field(default_factory=JobState)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> JobState:
        """How it stands now."""
        with self._lock:
            return self._state

    def start(self, kind: str, work: Work) -> JobState:
        """Begin; the thread ends with the process.

        Raises:
            InputError: Something is being done already.
        """
        with self._lock:
            if self._state.state == "running":
                raise InputError(f"{self._state.kind} is still going on; wait, or call it off")
            self._stop = threading.Event()
            self._state = JobState(self._state.number + 1, kind, "running")
        threading.Thread(target=self._run, args=(work, self._stop), daemon=True).start()
        return self.state

    def cancel(self) -> JobState:
        """Ask what is going on to stop at its next step."""
        self._stop.set()
        return self.state

    def _run(self, work: Work, stop: threading.Event) -> None:
        def show(done: int, total: int) -> None:
            self._set(done=done, total=max(total, 1))

        try:
            self._set(text=work(show, stop.is_set), state="done")
        except CliptuneError as error:
            self._set(text=str(error), state="cancelled" if stop.is_set() else "failed")
        except Exception as error:  # noqa: BLE001  a thread's outermost boundary
            fault = f"this is a fault of cliptune: {type(error).__name__}: {error}"
            self._set(text=fault, state="failed")

    def _set(self, **changes: object) -> None:
        with self._lock:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # fields of it
