"""Class folders, in folders of splits where there are any.

It knows how folders are named; captions and groups go into ``metadata.jsonl``.
"""

from __future__ import annotations

import json
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.split_words import UNLABELLED_FOLDER
from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Writer, iterate_rows, require_one_label

__all__ = ["WRITER"]


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT/CLASS/NAME``; images without a label go to ``_unlabeled``."""
    require_one_label(table, "imagefolder")
    for name in table.class_names:
        if "/" in name or "\0" in name or name.startswith(".") or len(name.encode()) > 200:
            raise DataError(f"the class {name!r} can be no folder; take csv or parquet")
    if len(set(table.splits.tolist())) > 1 and (table.splits == "").any():
        n = int((table.splits == "").sum())
        raise DataError(f"{n} images are in no split, others are; imagefolder cannot tell them")
    facts = []
    for row in iterate_rows(table):
        place = f"{row.label or UNLABELLED_FOLDER}/{row.name}"
        if row.split == "unlabelled":
            place = f"unlabelled/{row.name}"
        elif row.split:
            place = f"{row.split}/{place}"
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row.data)
        if row.captions or row.group:
            facts.append({"file_name": place, "captions": row.captions, "group": row.group})
    for name in table.class_names:
        has_splits = (table.splits != "").any()
        (folder / ("train" if has_splits else "") / name).mkdir(parents=True, exist_ok=True)
    if facts:
        text = "".join(json.dumps(fact) + "\n" for fact in facts)
        (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return ()


WRITER = Writer("imagefolder", "class folders in folders of splits", write)
