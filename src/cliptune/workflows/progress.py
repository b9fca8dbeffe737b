"""How verbs tell what they do: events for a callback, or bars.

It knows no verb.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = [
    "Advance",
    "Notice",
    "ProgressCallback",
    "ProgressLike",
    "StageProgress",
    "TerminalWatch",
    "Watch",
    "watching",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageProgress:
    """How far a stage of a verb is.

    Attributes:
        stage: What is being done.
        done: Units that are done.
        total: Units in all.
        unit: What is counted.
        beside: What else is known, in words: ``1,200 images, 150 images/s`` where their number
            is not known and shards are counted instead.
    """

    stage: str
    done: int
    total: int
    unit: str
    beside: str = ""


@dataclass(frozen=True)
class Notice:
    """Something that a person should know now.

    Attributes:
        text: One line.
    """

    text: str


ProgressCallback = Callable[[object], None]
"""Called with ``StageProgress``, ``Notice``, and the events that a verb describes."""


class Advance(Protocol):
    """Takes units done, units in all, and what else is known, in words."""

    def __call__(self, done: int, total: int, beside: str = "") -> None:
        """Tell how far a stage is."""
        ...


@runtime_checkable
class Watch(Protocol):
    """Who is told what happens."""

    def stage(self, label: str, unit: str = "images") -> AbstractContextManager[Advance]:
        """Begin a stage; the function that it gives takes units done and units in all."""
        ...

    def note(self, text: str) -> None:
        """Tell one line."""
        ...

    def event(self, event: object) -> None:
        """Tell an event of the verb's own."""
        ...


ProgressLike = ProgressCallback | Watch | bool | None
"""A callback, a watch, True for bars and lines on standard error, or None for silence."""


def watching(progress: ProgressLike) -> Watch:
    """Return who is told, from what a caller gave."""
    if isinstance(progress, Watch):
        return progress
    if progress is None or progress is False:
        return _CallbackWatch(_keep_in_log)
    if progress is True:
        return TerminalWatch()
    return _CallbackWatch(progress)


def _keep_in_log(event: object) -> None:
    if isinstance(event, Notice):
        _log.info("%s", event.text)


@dataclass(frozen=True)
class _CallbackWatch:
    """Hands everything to one function."""

    call: ProgressCallback

    @contextmanager
    def stage(self, label: str, unit: str = "images") -> Iterator[Advance]:
        """Hand over how far the stage is."""
        yield lambda done, total, beside="": self.call(
            StageProgress(label, done, total, unit, beside)
        )

    def note(self, text: str) -> None:
        """Hand over a line."""
        self.call(Notice(text))

    def event(self, event: object) -> None:
        """Hand over an event."""
        self.call(event)


@dataclass(frozen=True)
class TerminalWatch:
    """Bars and lines on standard error.

    Attributes:
        on_event: What is done with the events of a verb; nothing otherwise.
    """

    on_event: ProgressCallback = lambda event: None

    @contextmanager
    def stage(self, label: str, unit: str = "images") -> Iterator[Advance]:
        """Show a bar."""
        from cliptune.system.terminal import progress_bar

        with progress_bar(label, unit) as show:
            yield show

    def note(self, text: str) -> None:
        """Write a line."""
        from cliptune.system.terminal import note

        note(text)

    def event(self, event: object) -> None:
        """Hand over an event."""
        self.on_event(event)
