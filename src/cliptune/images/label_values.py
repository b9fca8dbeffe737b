"""From a column's cells to labels: words, numbers with names, numbers alone, several at once.

It knows nothing about where columns come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cliptune.errors import DataError
from cliptune.images.label_cells import as_flags, as_set, has_several, joined_by, split_cell
from cliptune.images.records import LabelSet, Records, Values

__all__ = ["Labels", "read_labels", "read_one_hot"]

# Longer numbers stand for no class; they are words.
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d{0,17}))(?:\.0+)?", re.ASCII)
_NO_LABEL = ("nan", "-1", "-1.0")
_MAYBE_NO_LABEL = ("none", "null", "n/a", "na")
_MIN_FLAGS = 2


@dataclass(frozen=True)
class Labels:
    """The labels of a manifest.

    Attributes:
        words: N labels, nothing where there is none.
        classes: The classes in their order, where the file tells.
        numbered: Labels are numbers without names.
        sets: N sets of labels where an image may have several.
        in_lists: The sets are lists, which may all hold one label.
        numbers: From class to its number, where a column gives both.
        notes: What was decided, one sentence each.
    """

    words: list[str | None]
    classes: tuple[str, ...] | None = None
    numbered: bool = False
    sets: list[LabelSet] | None = None
    in_lists: bool = False
    numbers: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()


def read_labels(records: Records, column: str | None) -> Labels:
    """Read the labels of a manifest.

    Integers are named by the file itself, else by the column ``class_name``, else they stand
    for themselves; -1, NaN and empty cells are no label. Lists, objects of true and false, and
    the same as JSON text are several labels an image.

    Args:
        records: The manifest.
        column: The column of labels, if there is one.

    Raises:
        DataError: A number has no name or two, two numbers have one, or a cell is no label.
    """
    if column is None:
        return Labels([None] * records.n_rows)
    cells = records.read_column(column)
    if has_several(cells):
        return _read_sets(cells, column, records)
    cells = [_only_one(cell, column, records.name) for cell in cells]
    if (mark := joined_by(cells)) is not None:
        lists = [split_cell(cell, mark) for cell in cells]
        found = _read_sets(lists, column, records)
        note = f"cells of {column!r} hold several labels joined by {mark!r}"
        return replace(found, notes=(note,))
    numbers = _as_numbers(cells)
    if numbers is None:
        words, n_none = _as_words(cells)
        notes = []
        if n_none:
            notes.append(f"{n_none} cells of {column!r} are -1 or NaN among words: no label")
        if maybe := sorted({w for w in words if w and w.lower() in _MAYBE_NO_LABEL}):
            notes.append(
                f"{', '.join(map(repr, maybe))} in {column!r} are classes like the others; empty "
                "their cells if they mean no label"
            )
        return Labels(words, notes=tuple(notes))
    names = records.label_names.get(column)
    if names is None and "class_name" in records.columns and column != "class_name":
        name_of = _pair_names(numbers, records)
        return Labels(
            [None if n is None else name_of[n] for n in numbers],
            tuple(name_of[n] for n in sorted(name_of)),
            numbers={name: number for number, name in name_of.items()},
        )
    if names is None:
        return Labels([None if n is None else str(n) for n in numbers], numbered=True)
    return Labels([_named(n, names, column, records.name) for n in numbers], names)


def read_one_hot(records: Records, columns: Sequence[str]) -> Labels | None:
    """Read classes that have a column each, with 1 where an image is of the class.

    Args:
        records: The manifest.
        columns: Those that may be classes.

    Returns:
        The labels, one an image where each row has a single 1; nothing where the columns hold
        anything but 0 and 1.
    """
    flags: dict[str, list[bool]] = {}
    for column in columns:
        found = [_as_flag(cell) for cell in records.read_column(column)]
        if any(flag is None for flag in found):
            return None
        flags[column] = [bool(flag) for flag in found]
    if len(flags) < _MIN_FLAGS or not any(any(column) for column in flags.values()):
        return None
    names = {column: column.strip() for column in columns}
    classes = tuple(names.values())
    sets = [tuple(names[c] for c in columns if flags[c][row]) for row in range(records.n_rows)]
    note = (f"each of the {len(classes)} columns {classes[0]!r} ... {classes[-1]!r} is a class",)
    if all(len(labels) == 1 for labels in sets):
        return Labels([labels[0] for labels in sets], classes, notes=note)
    return Labels([None] * records.n_rows, classes, sets=list(sets), notes=note)


def _as_flag(cell: Any) -> bool | None:  # Any: a cell as the file has it
    text = str(cell).strip().lower()
    if text in ("0", "0.0", "false", ""):
        return False
    return True if text in ("1", "1.0", "true") else None


def _read_sets(cells: Values, column: str, records: Records) -> Labels:
    names = records.label_names.get(column)
    opened = as_flags(cells)
    if opened is not None:
        cells = opened
    sets: list[LabelSet] = []
    for row, cell in enumerate(cells):
        found = as_set(cell, f"row {row} of {records.name!r}", column)
        if found is not None and names is not None:
            found = tuple(str(_named(int(label), names, column, records.name)) for label in found)
        sets.append(found)
    labels = {label for found in sets for label in found or ()}
    numbered = names is None and bool(labels) and all(_NUMBER.fullmatch(label) for label in labels)
    return Labels([None] * len(cells), names, numbered, sets=sets, in_lists=True)


def _named(number: int | None, names: Sequence[str], column: str, origin: str) -> str | None:
    if number is None:
        return None
    if number >= len(names):
        raise DataError(
            f"{origin!r} has the label {number} in {column!r}, but names only for 0 to "
            f"{len(names) - 1}; correct the labels or the names"
        )
    return names[number]


def _as_numbers(cells: Values) -> list[int | None] | None:
    """Return the cells as integers, -1 and empty cells as nothing; nothing when some are words."""
    numbers: list[int | None] = []
    for cell in cells:
        if _is_nothing(cell) or cell == "":
            numbers.append(None)
        elif isinstance(cell, str):
            found = _NUMBER.fullmatch(cell.strip())
            if found is None:
                return None
            numbers.append(int(found[1]))
        elif isinstance(cell, float) and cell.is_integer():
            # What is left of a column of integers once some tool met an empty cell in it.
            numbers.append(int(cell))
        elif isinstance(cell, int) and not isinstance(cell, bool):
            numbers.append(cell)
        else:
            return None
    return [None if n is not None and n < 0 else n for n in numbers]


def _is_nothing(cell: Any) -> bool:  # Any: a cell as the file has it
    return cell is None or (isinstance(cell, float) and cell != cell)


def _only_one(cell: Any, column: str, name: str) -> Any:  # Any: a cell as the file has it
    """Refuse bytes: written as text, each would be a class of its own."""
    if isinstance(cell, bytes):
        raise DataError(f"{name!r} has bytes in {column!r}; expected labels as words or numbers")
    return cell


def _as_words(cells: Values) -> tuple[list[str | None], int]:
    """Return cells as words, and how many are the -1 or NaN that tools write for nothing."""
    words: list[str | None] = []
    n_none = 0
    for cell in cells:
        text = "" if cell is None else str(cell).strip()
        if text.lower() in _NO_LABEL:
            n_none += 1
            text = ""
        words.append(text or None)
    return words, n_none


def _pair_names(numbers: list[int | None], records: Records) -> dict[int, str]:
    names: dict[int, str] = {}
    for row, (number, cell) in enumerate(
        zip(numbers, records.read_column("class_name"), strict=True)
    ):
        name = None if _is_nothing(cell) else str(cell).strip() or None
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
