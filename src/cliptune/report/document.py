"""What a report is made of: sections with a question, a conclusion, tables and figures.

It knows nothing about studies, files or HTML; these are plain values that JSON can hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cliptune.system.typed import require_types

__all__ = [
    "Block",
    "Column",
    "Document",
    "Figure",
    "Kind",
    "Section",
    "Table",
    "Tile",
    "require_document",
]

Json = dict[str, Any]  # Any: plain JSON values

Kind = Literal[
    "text", "integer", "number", "percent", "points", "seconds", "bytes", "rate", "p", "status"
]


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes:
        name: Its name in the CSV.
        title: Its heading.
        kind: How its cells are written. ``percent`` and ``points`` are shares that are shown
            times 100; a cell may be ``{"value", "low", "high"}``, a number with its 95 %
            interval; ``rate`` is a learning rate, ``p`` a p-value, ``status`` a word that gets
            a colour.
    """

    name: str
    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Attributes:
        name: Its file's name without a suffix.
        title: What it shows.
        columns: K columns.
        rows: Rows of K cells: text, numbers, numbers with intervals, or nothing.
        note: A sentence below it.
        marked: Row that stands out, or nothing.
        shown: So many rows are visible before the reader opens the rest.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]  # Any: plain JSON values
    note: str = ""
    marked: int | None = None
    shown: int = 16

    def to_dict(self) -> Json:
        """Return the fields as plain JSON values."""
        columns = [{"name": c.name, "title": c.title, "kind": c.kind} for c in self.columns]
        return {**vars(self), "columns": columns, "rows": [list(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Table:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        columns = tuple(Column(**column) for column in values["columns"])
        return cls(**{**values, "columns": columns, "rows": tuple(map(tuple, values["rows"]))})


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        file: SVG, relative to the folder of the report.
        alt: What it shows, for those who do not see it.
        caption: A sentence below it.
        wide: It needs the whole width, on a narrow screen a way to scroll, and white paper.
        links: Files that belong to it, such as an interactive page, by the words of the link.
    """

    file: str
    alt: str
    caption: str = ""
    wide: bool = False
    links: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> Json:
        """Return the fields as plain JSON values."""
        return {**vars(self), "links": dict(self.links)}


Block = Table | Figure


@dataclass(frozen=True)
class Section:
    """A question and what was found.

    Attributes:
        name: Its name in lists of options and its file's name.
        title: Its heading.
        question: What it asks.
        conclusion: What the numbers say, by rule.
        numbers: Everything that it measured, as plain JSON values.
        blocks: Tables and figures, in order.
        notes: What a careful reader has to know.
        seconds: What it took.
        skipped: Why it was not done, or nothing.
    """

    name: str
    title: str
    question: str
    conclusion: str
    numbers: Json = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    skipped: str | None = None

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures, in order."""
        return tuple(block for block in self.blocks if isinstance(block, Figure))

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables, in order."""
        return tuple(block for block in self.blocks if isinstance(block, Table))

    def to_dict(self) -> Json:
        """Return everything as plain JSON values; ``figures`` lists the files."""
        blocks = [
            {"table": block.to_dict()} if isinstance(block, Table) else {"figure": block.to_dict()}
            for block in self.blocks
        ]
        values = {**vars(self), "blocks": blocks, "notes": list(self.notes)}
        return {**values, "figures": [figure.file for figure in self.figures]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Section:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        blocks: list[Block] = [
            Table.from_dict(block["table"]) if "table" in block else Figure(**block["figure"])
            for block in values["blocks"]
        ]
        own = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**{**own, "blocks": tuple(blocks), "notes": tuple(values["notes"])})


@dataclass(frozen=True)
class Tile:
    """One number that stands at the top.

    Attributes:
        title: What it is.
        value: As it is shown.
        detail: A line below it.
    """

    title: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: Its heading.
        summary: One line below it.
        answer: What it comes down to; empty where nothing was decided.
        answer_title: Stands above it.
        command: What to type to get what is recommended; empty where there is nothing.
        tiles: Numbers at the top.
        sections: In order.
        facts: How it came about: (name, value).
        source: File with everything, relative to the folder of the report.
    """

    title: str
    summary: str
    answer: str
    answer_title: str
    command: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...]
    source: str


def require_document(document: Document) -> None:
    """Make sure that a report which was read from files can be shown.

    Raises:
        TypeError: A value is of another type than the fields say.
        ValueError: A section's name is none, or a row has not a cell for each column.
    """
    require_types(document, Document, "the report")
    for section in document.sections:
        if not re.fullmatch(r"[\w-]+", section.name, re.ASCII):
            raise ValueError(f"a section is called {section.name!r:.60}")
        for table in section.tables:
            for row in table.rows:
                _require_cells(row, table)


def _require_cells(row: tuple[Any, ...], table: Table) -> None:  # Any: as in Table
    if len(row) != len(table.columns):
        raise ValueError(f"a row of table {table.name!r:.60} has {len(row)} cells")
    for value, column in zip(row, table.columns, strict=True):
        where = f"{table.name!r:.40}.{column.name!r:.40}"
        if column.kind in ("text", "status"):
            require_types(value, str | float | bool | None, where)
        elif isinstance(value, Mapping):
            require_types(value, Mapping[str, float | None], where)
            require_types(value["value"], float | None, where)
            if (value.get("low") is None) != (value.get("high") is None):
                raise ValueError(f"{where} has one end of an interval")
        else:
            require_types(value, float | None, where)
