"""Answers of a labelling tool as a file: a table of images and labels, or Label Studio's JSON.

It knows files, and nothing about data sets.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cliptune.annotations import Answer
from cliptune.errors import DataError, InputError, UnavailableError
from cliptune.system.atomic import os_reason
from cliptune.system.escaping import from_csv
from cliptune.system.file_kinds import read_regular
from cliptune.system.json_files import parse_value

__all__ = ["read_answers"]

_IMAGE = ("id", "content", "path", "image", "file", "filename", "file_name")
_LABEL = ("label", "class", "answer", "class_name")
_NONE, _SKIP = "(none)", "(skip)"

Row = Mapping[str, Any]  # Any: plain JSON values


def read_answers(path: Path) -> dict[str, Answer]:
    """Return answers by what the file calls each image; of two for one image the later.

    Raises:
        DataError: It holds no images or no labels.
        UnavailableError: It cannot be read.
        InputError: A label is no text.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise UnavailableError(f"cannot read {str(path)!r} ({os_reason(error)})") from error
    except ValueError as error:
        raise DataError(
            f"{str(path)!r} is no text in UTF-8; expected CSV, JSON or JSONL"
        ) from error
    answers = {}
    for row in _rows(text, path):
        name, label = _cell(row, _IMAGE), _cell(row, _LABEL)
        if name is None or label is None:
            raise DataError(
                f"{str(path)!r} has a row without an image or a label; expected columns such as "
                f"id and label, got {', '.join(map(repr, list(row)[:8])) or 'none'}"
            )
        if label.strip():
            answers[name] = _answer(label)
    if not answers:
        raise DataError(f"{str(path)!r} holds no answer; expected columns id and label")
    return answers


def _answer(label: str) -> Answer:
    if label.strip().casefold() in (_NONE, _SKIP):
        return Answer.of("none" if label.strip().casefold() == _NONE else "skip")
    return Answer.of("label", label)


def _cell(row: Row, names: Sequence[str]) -> str | None:
    lower = {str(key).strip().casefold(): value for key, value in row.items()}
    for name in names:
        if (value := lower.get(name)) is not None:
            return str(value)
    return None


def _rows(text: str, path: Path) -> list[Row]:
    if not text.lstrip().startswith(("[", "{")):
        return _table_rows(text, path)
    try:
        value = parse_value(text)
    except ValueError:
        value = _lines(text, path)
    if isinstance(value, dict):
        value = value.get("images", [value])
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise DataError(f"{str(path)!r} is JSON, but no list of objects with id and label")
    try:
        return [_task(row) if "annotations" in row else row for row in value]
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{str(path)!r} has tasks that are not as Label Studio exports them; export again as "
            "JSON"
        ) from error


def _lines(text: str, path: Path) -> list[Any]:
    try:
        return [parse_value(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(f"cannot read {str(path)!r} as JSON ({error})") from error


def _table_rows(text: str, path: Path) -> list[Row]:
    first = text.partition("\n")[0]
    delimiter = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    try:
        rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"cannot read {str(path)!r} as a table ({error})") from error
    return [
        {key: from_csv(cell) for key, cell in row.items() if key and isinstance(cell, str)}
        for row in rows
    ]


def _task(task: Row) -> Row:
    """Return a task of Label Studio as a row: its image and the choice of its last annotation."""
    data = task.get("data", {})
    names = [value for value in data.values() if isinstance(value, str)]
    label = ""
    for annotation in task.get("annotations") or ():
        for result in annotation.get("result") or ():
            choices = result.get("value", {}).get("choices")
            label = str(choices[0]) if choices else label
    if not names:
        raise InputError("a task of Label Studio names no image in its data")
    name = str(data.get("image", names[0]))
    return {"id": name.partition("?d=")[2] or name, "label": label}
