"""Label Studio's JSON: tasks with choices, and the images beside them.

It knows the form that ``exports.label_studio`` reads; splits are folders of images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Row, Writer, iterate_rows

__all__ = ["WRITER"]


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``images/SPLIT/NAME`` and ``tasks.json``."""
    tasks = []
    for number, row in enumerate(iterate_rows(table), start=1):
        place = f"images/{row.split}/{row.name}" if row.split else f"images/{row.name}"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(row.data)
        tasks.append(_task(number, place, row))
    (folder / "tasks.json").write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    notes = []
    if table.captions is not None:
        notes.append("captions are in the tasks' data, where only people read them")
    if table.groups is not None:
        notes.append("groups are in the tasks' data, where only people read them")
    return tuple(notes)


WRITER = Writer("labelstudio", "Label Studio JSON and a folder of images", write)


def _task(number: int, place: str, row: Row) -> dict[str, Any]:  # Any: plain JSON values
    data: dict[str, Any] = {"image": place}
    if row.captions:
        data["captions"] = row.captions
    if row.group:
        data["group"] = row.group
    result = {
        "id": f"r{number}",
        "type": "choices",
        "from_name": "choice",
        "to_name": "image",
        "value": {"choices": list(row.labels or ())},
    }
    annotation = {"id": number, "was_cancelled": False, "result": [result]}
    return {
        "id": number,
        "data": data,
        "annotations": [] if row.labels is None else [annotation],
    }
