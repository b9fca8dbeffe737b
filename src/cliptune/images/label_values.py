"""From a column's cells to labels: words, numbers with names, numbers alone.

It knows nothing about where columns come from.
"""

from __future__ import annotations

import re
from typing import Any

from cliptune.errors import DataError
from cliptune.images.records import Records, Values

__all__ = ["read_labels"]

# Longer numbers stand for no class; they are words.
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d{0,17}))(?:\.0+)?", re.ASCII)


def read_labels(
    records: Records, column: str | None
) -> tuple[list[str | None], tuple[str, ...] | None, bool]:
    """Read the labels of a manifest.

    Integers are named by the file itself, else by the column ``class_name``, else they stand
    for themselves; -1 and empty cells are no label.

    Args:
        records: The manifest.
        column: The column of labels, if there is one.

    Returns:
        N labels; the classes in their order, where the file tells; and whether labels are
        numbers without names.

    Raises:
        DataError: A number has no name or two, two numbers have one, or a cell is no label.
    """
    if column is None:
        return [None] * records.n_rows, None, False
    cells = records.read_column(column)
    numbers = _as_numbers(cells)
    if numbers is None:
        _require_single(cells, column, records.name)
        return [_as_label(cell) for cell in cells], None, False
    names = records.label_names.get(column)
    if names is None and "class_name" in records.columns and column != "class_name":
        names_by_number = _pair_names(numbers, records)
        classes = tuple(names_by_number[n] for n in sorted(names_by_number))
        return [None if n is None else names_by_number[n] for n in numbers], classes, False
    if names is None:
        return [None if n is None else str(n) for n in numbers], None, True
    beyond = next((n for n in numbers if n is not None and n >= len(names)), None)
    if beyond is not None:
        raise DataError(
            f"{records.name!r} has the label {beyond} in {column!r}, but names only for 0 to "
            f"{len(names) - 1}; correct the labels or the names"
        )
    return [None if n is None else names[n] for n in numbers], names, False


def _as_numbers(cells: Values) -> list[int | None] | None:
    """Return the cells as integers, -1 and empty cells as nothing; nothing when some are words."""
    numbers: list[int | None] = []
    for cell in cells:
        if cell is None or cell == "":
            numbers.append(None)
        elif isinstance(cell, str):
            found = _NUMBER.fullmatch(cell.strip())
            if found is None:
                return None
            numbers.append(int(found[1]))
        elif isinstance(cell, float) and (cell.is_integer() or cell != cell):
            # What is left of a column of integers once some tool met an empty cell in it.
            numbers.append(None if cell != cell else int(cell))
        elif isinstance(cell, int) and not isinstance(cell, bool):
            numbers.append(cell)
        else:
            return None
    return [None if n is not None and n < 0 else n for n in numbers]


def _require_single(cells: Values, column: str, name: str) -> None:
    """Refuse lists, structs and bytes: written as text, each would be a class of its own."""
    for row, cell in enumerate(cells):
        if isinstance(cell, (list, tuple, dict, bytes)):
            raise DataError(
                f"row {row} of {name!r} has a {type(cell).__name__} in {column!r}; expected one "
                "label for each image, as a word or a number"
            )


def _as_label(cell: Any) -> str | None:  # Any: a cell as the file has it
    text = "" if cell is None else str(cell).strip()
    return text or None


def _pair_names(numbers: list[int | None], records: Records) -> dict[int, str]:
    names: dict[int, str] = {}
    for row, (number, cell) in enumerate(
        zip(numbers, records.read_column("class_name"), strict=True)
    ):
        name = _as_label(cell)
        if number is None:
            continue
        if name is None or names.setdefault(number, name) != name:
            raise DataError(
                f"row {row} of {records.name!r} names label {number} {name!r}, an earlier row "
                f"{names.get(number)!r}; give each label one class_name"
            )
    if len(set(names.values())) < len(names):
        raise DataError(f"{records.name!r} gives two labels one class_name; make them distinct")
    return names
