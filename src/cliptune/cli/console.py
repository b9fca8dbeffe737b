"""What commands show: tables on standard output, progress on standard error.

It knows nothing about what the numbers mean.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from cliptune.escaping import for_terminal, json_for_terminal, shorten
from cliptune.redaction import hide_passwords

__all__ = [
    "note",
    "note_table",
    "print_json",
    "print_table",
    "print_text",
    "progress_bar",
]


_WIDTH_OF_FILES = 120
_SECONDS_BETWEEN_LINES = 30.0
_LONGEST_CELL = 600  # letters; JSON and the run's files hold all of a name


def print_json(value: Mapping[str, Any]) -> None:  # Any: plain JSON values
    """Write one JSON object to standard output."""
    sys.stdout.write(json_for_terminal(value) + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(for_terminal(text, layout=True) + "\n")


def note(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(hide_passwords(for_terminal(text, layout=True)) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to standard output; columns of numbers stand to the right."""
    _write_table(sys.stdout, title, columns, rows)


def note_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to standard error."""
    _write_table(sys.stderr, title, columns, rows)


def _write_table(
    file: TextIO, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(for_terminal(title)), title_justify="left", box=box.SIMPLE_HEAD)
    cells = list(rows)
    for position, column in enumerate(columns):
        numeric = all(_is_number(row[position]) for row in cells)
        table.add_column(
            Text(for_terminal(column)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in cells:
        table.add_row(*(Text(shorten(for_terminal(cell), _LONGEST_CELL)) for cell in row))
    # A file or a pipe has no width; it should not cut what a wide terminal would show.
    width = None if file.isatty() else _WIDTH_OF_FILES
    Console(file=file, width=width).print(table)


def _is_number(cell: str) -> bool:
    return not cell or cell.lstrip("+-")[:1].isdigit()


@contextmanager
def progress_bar(label: str, unit: str = "images") -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error; call the yielded function with (done, total).

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
        TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    hidden = not console.is_terminal  # a bar that nobody watches would still end its line
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(for_terminal(label), total=None)
        said = [time.monotonic()]

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            if hidden and time.monotonic() - said[0] >= _SECONDS_BETWEEN_LINES:
                said[0] = time.monotonic()
                note(f"{label}: {done} of {total} {unit}".rstrip())

        yield show
