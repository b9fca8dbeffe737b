"""A data set of the ``datasets`` library, as its ``save_to_disk`` keeps it.

It knows the library's features; the rows are those of Parquet.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Writer, iterate_rows, rows_by_split

__all__ = ["WRITER"]


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write a ``DatasetDict`` where there are splits, else a ``Dataset``."""
    import datasets

    features = _features(table)
    cache = folder / ".cache"

    def make(part: ImageTable) -> Iterator[dict[str, Any]]:  # Any: cells
        for row in iterate_rows(part):
            cells: dict[str, Any] = {
                "image": {"bytes": row.data, "path": row.name},
                "captions": list(row.captions),
                "group": row.group,
            }
            cells["label"] = row.label
            if table.label_sets is not None:
                cells["label"] = None if row.labels is None else list(row.labels)
            yield {name: cells[name] for name in features}

    datasets.disable_progress_bars()
    parts = {
        split: datasets.Dataset.from_generator(
            make, features=features, gen_kwargs={"part": part}, cache_dir=str(cache)
        )
        for split, part in rows_by_split(table).items()
    }
    whole = parts[""] if set(parts) == {""} else datasets.DatasetDict(parts)
    whole.save_to_disk(str(folder))
    shutil.rmtree(cache, ignore_errors=True)
    return ()


WRITER = Writer("hf", "a data set of the datasets library", write)


def _features(table: ImageTable) -> Any:  # Any: of a library without types
    import datasets

    features: dict[str, Any] = {"image": datasets.Image(decode=False)}
    texts = datasets.List(datasets.Value("string"))
    if table.class_names:
        names = list(table.class_names)
        features["label"] = (
            texts if table.label_sets is not None else datasets.ClassLabel(names=names)
        )
    if table.captions is not None:
        features["captions"] = texts
    if table.groups is not None:
        features["group"] = datasets.Value("string")
    return datasets.Features(features)
