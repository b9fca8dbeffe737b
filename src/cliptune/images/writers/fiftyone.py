"""FiftyOne's ``FiftyOneImageClassificationDataset``: ``data`` and ``labels.json``, split by split.

It knows the form that ``exports.fiftyone`` reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Writer, iterate_rows, rows_by_split

__all__ = ["WRITER"]


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT/data/NAME`` and ``SPLIT/labels.json`` with all classes."""
    code_of = {name: code for code, name in enumerate(table.class_names)}
    for split, part in rows_by_split(table).items():
        place = folder / split
        (place / "data").mkdir(parents=True, exist_ok=True)
        labels: dict[str, Any] = {}  # Any: plain JSON values
        for row in iterate_rows(part):
            (place / "data" / row.name).write_bytes(row.data)
            codes = None if row.labels is None else [code_of[label] for label in row.labels]
            if codes is not None and table.label_sets is None:
                labels[Path(row.name).stem] = codes[0]
            else:
                labels[Path(row.name).stem] = codes
        content = {"classes": list(table.class_names), "labels": labels}
        (place / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    lost = [
        name
        for name, value in (("captions", table.captions), ("groups", table.groups))
        if value is not None
    ]
    return (f"FiftyOne's format has no place for {' and '.join(lost)}",) if lost else ()


WRITER = Writer("fiftyone", "FiftyOneImageClassificationDataset", write)
