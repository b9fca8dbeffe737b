"""What stands on standard error while a command or a notebook works: bars and single lines.

It knows nothing about what is being done.
"""

from __future__ import annotations

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
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TextColumn("{task.fields[beside]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    hidden = not console.is_terminal  # a bar that nobody watches would still end its line
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(for_terminal(label), total=None, beside="")
        said = [time.monotonic()]

        def show(done: int, total: int, beside: str = "") -> None:
            progress.columns = columns[:-1] if beside else columns
            progress.update(task, completed=done, total=total, beside=beside)
            if hidden and time.monotonic() - said[0] >= _SECONDS_BETWEEN_LINES:
                said[0] = time.monotonic()
                more = f", {beside}" if beside else ""
                note(f"{label}: {done} of {total} {unit}".rstrip() + more)

        yield show
