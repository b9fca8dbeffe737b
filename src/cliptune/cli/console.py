"""What commands show: results and tables on standard output, the rest on standard error.

It knows nothing about what the numbers mean.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from cliptune.system.escaping import for_terminal, json_for_terminal, shorten
from cliptune.system.terminal import note, progress_bar
from cliptune.system.text_tables import is_number

if TYPE_CHECKING:
    from cliptune.results.base import Result

__all__ = [
    "note",
    "note_table",
    "print_json",
    "print_result",
    "print_table",
    "print_text",
    "progress_bar",
]


_WIDTH_OF_FILES = 120
_LONGEST_CELL = 600  # letters; JSON and the run's files hold all of a name


def print_json(value: Mapping[str, Any]) -> None:  # Any: plain JSON values
    """Write one JSON object to standard output."""
    sys.stdout.write(json_for_terminal(value) + "\n")
    sys.stdout.flush()


def print_text(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(for_terminal(text, layout=True) + "\n")
    sys.stdout.flush()


def print_result(result: Result, *, as_json: bool) -> None:
    """Write a result to standard output: as one JSON object, or as a person reads it."""
    if as_json:
        print_json(result.to_dict())
        return
    for block in result.blocks():
        if isinstance(block, str):
            print_text(block)
        else:
            print_table(block.title, block.columns, block.rows)


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
        numeric = all(is_number(row[position]) for row in cells)
        table.add_column(
            Text(for_terminal(column)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in cells:
        table.add_row(*(Text(shorten(for_terminal(cell), _LONGEST_CELL)) for cell in row))
    # A file or a pipe has no width; it should not cut what a wide terminal would show.
    width = None if file.isatty() else _WIDTH_OF_FILES
    Console(file=file, width=width).print(table)
