"""Cells that hold several labels: lists, objects, and both as JSON text.

It knows one cell at a time, and nothing about columns or files.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from cliptune.errors import DataError
from cliptune.images.records import Values
from cliptune.system.json_files import parse_value

__all__ = ["as_flags", "as_set", "has_several", "joined_by", "split_cell"]

_NAME_KEYS = ("name", "label", "class", "class_name", "category", "value", "title", "choice")


def has_several(cells: Values) -> bool:
    """Tell whether any cell is a list or an object, or text that is one in JSON."""
    return any(isinstance(_opened(cell), (list, tuple, dict)) for cell in cells)


def joined_by(cells: Values) -> str | None:
    """Return the mark that joins several labels in a cell, ``|`` or ``;``; nothing without one.

    A semicolon joins where all that it divides stands in other cells too, alone or joined.
    """
    texts = [str(cell).strip() for cell in cells if isinstance(cell, str)]
    for mark in "|;":
        joined = [_divided(text, mark) for text in texts if mark in text]
        if not joined or not all(len(parts) > 1 and all(parts) for parts in joined):
            continue
        if mark == "|":
            return mark
        alone = {text for text in texts if mark not in text}
        counts = Counter(part for parts in joined for part in set(parts))
        if all(part in alone or counts[part] > 1 for part in counts):
            return mark
    return None


def split_cell(cell: Any, mark: str) -> Any:  # Any: a cell as the file has it
    """Return the labels of a cell that joins them; any other cell is what it is."""
    return _divided(cell, mark) if isinstance(cell, str) and mark in cell else cell


def _divided(text: str, mark: str) -> list[str]:
    return [part.strip() for part in text.split(mark)]


def as_flags(cells: Values) -> Values | None:
    """Turn lists of 0 and 1, one place a class, into lists of the places that hold a 1.

    Returns:
        The lists; nothing where the cells are anything else, such as lists of labels.
    """
    lists = [_opened(cell) for cell in cells if not _is_nothing(cell)]
    if not all(isinstance(found, (list, tuple)) for found in lists):
        return None
    lengths = {len(found) for found in lists}
    values = {value for found in lists for value in found if isinstance(value, (bool, int, float))}
    flags = all(value in (0, 1) for found in lists for value in found)
    if len(lengths) != 1 or min(lengths) < 2 or not flags or len(values) < 2:
        return None
    if not any(len(set(found)) < len(found) for found in lists):
        return None
    return [
        None if _is_nothing(cell) else [place for place, flag in enumerate(_opened(cell)) if flag]
        for cell in cells
    ]


def as_set(cell: Any, where: str, column: str) -> tuple[str, ...] | None:
    """Read the labels of one cell, each once.

    A list holds labels, or objects with a name. An object holds one label by its name, or says
    of each label whether it applies: by true and false, by 1 and 0.

    Args:
        cell: The cell as the file has it.
        where: Its row, for messages.
        column: Its column, for messages.

    Returns:
        The labels; nothing where the cell is empty.

    Raises:
        DataError: It holds something else.
    """
    value = _opened(cell)
    if _is_nothing(value):
        return None
    if isinstance(value, dict):
        found = _of_object(value, where, column)
    elif isinstance(value, (list, tuple)):
        found = [_word(_named(entry), where, column) for entry in value if not _is_nothing(entry)]
    else:
        found = [_word(value, where, column)]
    return tuple(dict.fromkeys(found))


def _opened(cell: Any) -> Any:
    """Read text that is a JSON list or object; any other cell is what it is."""
    if not (isinstance(cell, str) and cell.strip()[:1] in ("[", "{")):
        return cell
    text = cell.strip()
    for wording in (text, text.replace("'", '"')):  # what Python prints instead of JSON
        try:
            value = parse_value(wording)
        except ValueError:
            continue
        return value if isinstance(value, (list, dict)) else cell
    return cell


def _is_nothing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and value != value):
        return True
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "-1")
    return isinstance(value, int) and not isinstance(value, bool) and value < 0


def _named(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return next((entry[key] for key in _NAME_KEYS if key in entry), entry)


def _of_object(value: dict[str, Any], where: str, column: str) -> list[str]:
    name = _named(value)
    if name is not value and isinstance(name, str):
        return [_word(name, where, column)]
    lists = [entry for entry in value.values() if isinstance(entry, list)]
    if len(value) == 1 and lists:  # {"choices": ["ant", "bee"]}
        return [_word(_named(entry), where, column) for entry in lists[0]]
    flags = [(label, flag) for label, flag in value.items() if flag is not None]
    if any(not isinstance(flag, (bool, int, float)) or flag not in (0, 1) for _, flag in flags):
        raise DataError(
            f"{where} has an object in {column!r} that is neither one label by its name nor 0 "
            f"and 1 for each label: {str(value)[:80]}"
        )
    return [str(label).strip() for label, flag in flags if flag]


def _word(value: Any, where: str, column: str) -> str:
    if isinstance(value, (list, tuple, dict, bytes)):
        raise DataError(
            f"{where} has a {type(value).__name__} among the labels in {column!r}; expected "
            "words or numbers"
        )
    number = isinstance(value, float) and value.is_integer()
    return str(int(value) if number else value).strip()
