"""Label Studio's CSV, one row for each annotation of an image.

It knows the columns by which the file is recognised; the rows are those of its short JSON.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from cliptune.images.exports.annotated import Annotated, AnnotationReader
from cliptune.images.exports.label_studio import CSV_COLUMNS, read_short_rows

__all__ = ["READER"]


def read_csv(path: Path, value: Any) -> Annotated | None:
    """Read the CSV of the exporter."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if not set(reader.fieldnames or ()) >= CSV_COLUMNS:
                return None
            return read_short_rows(list(reader), "Label Studio CSV")
    except (UnicodeDecodeError, csv.Error):
        return None  # reading it as any other table says what is wrong


READER = AnnotationReader("Label Studio CSV", ".csv", read_csv)
