"""A folder of images and a table ``labels.csv`` beside it.

It knows the columns: image, label, split, caption and group. An image with several captions has a
row for each; several labels are a JSON list.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Row, Writer, iterate_rows
from cliptune.system.escaping import for_csv

__all__ = ["WRITER"]


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``images/NAME`` and one row for each image, or for each caption of it."""
    (folder / "images").mkdir()
    columns = ["image", "label", "split"]
    columns += ["caption"] if table.captions is not None else []
    columns += ["group"] if table.groups is not None else []
    several = table.label_sets is not None
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in iterate_rows(table):
            (folder / "images" / row.name).write_bytes(row.data)
            cells = [f"images/{row.name}", _label(row, several), row.split]
            for caption in row.captions or ("",):
                more = [caption] if table.captions is not None else []
                more += [row.group] if table.groups is not None else []
                writer.writerow([for_csv(cell) for cell in (*cells, *more)])
    return ()


WRITER = Writer("csv", "a folder of images and a table", write)


def _label(row: Row, several: bool) -> str:
    if row.labels is None:
        return ""
    return json.dumps(row.labels, ensure_ascii=False) if several else row.labels[0]
