"""Cells of tables: as a reader sees them, and as CSV.

It knows nothing about HTML or about what the numbers mean.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cliptune.report.document import Kind, Table
from cliptune.system import formatting
from cliptune.system.atomic import atomic_path
from cliptune.system.escaping import for_csv

__all__ = ["format_cell", "interval_of", "is_numeric", "write_csv"]

_TEXT_KINDS = ("text", "status")


def is_numeric(kind: Kind) -> bool:
    """Whether cells of this kind stand to the right."""
    return kind not in _TEXT_KINDS


def format_cell(value: Any, kind: Kind) -> str:  # Any: plain JSON values
    """Write a cell's value; its interval stands apart, see ``interval_of``."""
    number = value["value"] if isinstance(value, Mapping) else value
    if number is None:
        return "–"  # noqa: RUF001  a dash for what is not there
    if kind in _TEXT_KINDS:
        return str(number)
    return _WRITERS[kind](number)


def interval_of(value: Any, kind: Kind) -> str:  # Any: plain JSON values
    """Write the interval of a number that has one, else nothing."""
    if not isinstance(value, Mapping) or value.get("low") is None:
        return ""
    if kind == "percent":
        return formatting.interval(value["low"], value["high"])
    return f"{_WRITERS[kind](value['low'])} to {_WRITERS[kind](value['high'])}"


_WRITERS = {
    "integer": formatting.count,
    "number": formatting.decimal,
    "percent": formatting.percent,
    "points": formatting.change,
    "seconds": formatting.duration,
    "bytes": formatting.size,
    "rate": formatting.rate,
    "p": formatting.p_value,
}


def write_csv(table: Table, path: Path) -> None:
    """Write a table's raw values; a number with an interval takes three columns."""
    with_interval = [
        any(isinstance(row[k], Mapping) for row in table.rows) for k in range(len(table.columns))
    ]
    header: list[str] = []
    for column, spread in zip(table.columns, with_interval, strict=True):
        ends = [f"{column.name}_low", f"{column.name}_high"] if spread else []
        header += [column.name, *ends]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(map(for_csv, header))
        for row in table.rows:
            writer.writerow(map(for_csv, _flatten(row, with_interval)))


def _flatten(row: tuple[Any, ...], with_interval: list[bool]) -> list[Any]:  # Any: as above
    cells: list[Any] = []
    for value, spread in zip(row, with_interval, strict=True):
        if not spread:
            cells.append(value)
        elif isinstance(value, Mapping):
            cells += [value["value"], value.get("low"), value.get("high")]
        else:
            cells += [value, None, None]
    return cells
