"""What stands on standard error while a command or a notebook works: bars and single lines.

It knows nothing about what is being done.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cliptune.system.escaping import for_terminal
from cliptune.system.redaction import hide_passwords

__all__ = ["note", "progress_bar"]

_SECONDS_BETWEEN_LINES = 30.0


def note(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(hide_passwords(for_terminal(text, layout=True)) + "\n")


@contextmanager
def progress_bar(label: str, unit: str = "images") -> Iterator[Callable[..., None]]:
    """Show a bar on standard error; call the yielded function with (done, total).

    What else is known can be given in words (``beside``); it takes the place of the time that is
    left, which nobody can tell where units are of unlike sizes.
    Where standard error is no terminal a plain line says every half minute how far it is.
    """
    if not _may_be_terminal():
        yield _Lines(label, unit)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:  # a bar that nobody watches would still end its line
        yield _Lines(label, unit)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TextColumn("{task.fields[beside]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(for_terminal(label), total=None, beside="")

        def show(done: int, total: int, beside: str = "") -> None:
            progress.columns = columns[:-1] if beside else columns
            progress.update(task, completed=done, total=total, beside=beside)

        yield show


class _Lines:
    """A bar's place where there is no terminal: a line every half minute."""

    def __init__(self, label: str, unit: str) -> None:
        self._label, self._unit, self._said = label, unit, time.monotonic()

    def __call__(self, done: int, total: int, beside: str = "") -> None:
        if time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            more = f", {beside}" if beside else ""
            note(f"{self._label}: {done} of {total} {self._unit}".rstrip() + more)


def _may_be_terminal() -> bool:
    """Tell whether rich could take standard error for one: it takes long to load."""
    if os.environ.get("TTY_COMPATIBLE") == "1" or os.environ.get("FORCE_COLOR"):
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # nothing stands there, or it is closed
        return False
