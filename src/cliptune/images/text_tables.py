"""Tables in text files: rows of cells, as CSV, TSV, JSONL and JSON give them.

It knows the formats, and nothing about what columns mean.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from cliptune.errors import DataError
from cliptune.images.tree import is_image_name
from cliptune.system.json_files import parse_value

__all__ = ["read_csv_rows", "read_json_rows", "read_jsonl_rows", "read_lines"]

Rows = list[dict[str, Any]]  # Any: a cell as the file has it


def read_csv_rows(path: Path) -> Rows:
    """Read CSV, or TSV by the suffix; every cell is text.

    Raises:
        DataError: A row has not the cells of the header.
    """
    # The csv module keeps words as they are: a class "NA" or "01" stays one.
    with path.open(newline="", encoding="utf-8-sig") as file:
        line = file.readline()
        file.seek(0)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(line)
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        rows: Rows = []
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"row {len(rows)} of {str(path)!r} (line {reader.line_num}) has not the "
                        f"{len(reader.fieldnames or ())} cells of the header; quote cells that "
                        "contain the separator"
                    )
                rows.append(row)
            header = list(reader.fieldnames or ())
        except csv.Error as error:
            raise DataError(f"line {reader.line_num} of {str(path)!r}: {error}") from error
    for name in header:
        if is_image_name(name.replace("\\", "/").rpartition("/")[2]):
            raise DataError(
                f"{str(path)!r} has no header: its first row names the image {name!r}; write the "
                "columns' names above it, such as image,label"
            )
    return rows


def read_lines(path: Path) -> list[str]:
    """Read names, one a line.

    Raises:
        DataError: It is no text, or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the names in {str(path)!r} ({error})") from error


def _delimiter(header: str) -> str:
    return ";" if ";" in header and "," not in header else ","


def read_jsonl_rows(path: Path) -> Rows:
    """Read one JSON object a line.

    Raises:
        DataError: A line is something else.
    """
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = parse_value(line)
            except ValueError as error:
                raise DataError(f"line {number} of {str(path)!r} is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"line {number} of {str(path)!r} is no JSON object")
            rows.append(row)
    return rows


def read_json_rows(path: Path) -> Rows:
    """Read a list of objects, or an object from image to label.

    Raises:
        DataError: It is something else.
    """
    try:
        value = parse_value(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{str(path)!r} is no JSON ({error})") from error
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return value
    if isinstance(value, dict) and value and all(_is_label(label) for label in value.values()):
        return [{"image": image, "label": label} for image, label in value.items()]
    raise DataError(
        f"{str(path)!r} is no table; expected a JSON list of objects, one for each image, or an "
        "object from image to label"
    )


def _is_label(value: Any) -> bool:  # Any: a JSON value of a stranger
    return isinstance(value, (str, int)) or (
        isinstance(value, list) and all(isinstance(label, (str, int)) for label in value)
    )
