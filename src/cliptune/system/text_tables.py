"""A table of texts, and what it looks like in HTML.

It knows nothing about what the cells mean; whoever makes it has written its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cliptune.system.escaping import for_html

__all__ = ["Shown", "TextTable", "is_number", "shown_to_html"]


@dataclass(frozen=True)
class TextTable:
    """Rows of written cells under a title.

    Attributes:
        title: One line above it.
        columns: Names of the columns.
        rows: One cell a column each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> TextTable:
        """Make one of any sequences."""
        return cls(title, tuple(columns), tuple(tuple(row) for row in rows))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return _table_to_html(self)


Shown = TextTable | str
"""What a result is shown as: tables, and sentences between them."""


def shown_to_html(blocks: Iterable[Shown]) -> str:
    """Return tables and sentences as HTML; no text of theirs becomes markup."""
    parts = [
        _table_to_html(block) if isinstance(block, TextTable) else f"<p>{_text(block)}</p>"
        for block in blocks
    ]
    return f"<div>{''.join(parts)}</div>"


def _table_to_html(table: TextTable) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in table.columns)
    lines = []
    for row in table.rows:
        cells = (f"<td{_align(cell)}>{_text(cell)}</td>" for cell in row)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"<table><caption>{_text(table.title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def is_number(cell: str) -> bool:
    """Tell whether a cell stands to the right."""
    return not cell or cell.lstrip("+-")[:1].isdigit()


def _align(cell: str) -> str:
    return ' style="text-align:right"' if is_number(cell) else ""


def _text(text: str) -> str:
    return for_html(text).replace("\n", "<br>")
