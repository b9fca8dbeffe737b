"""Answers to several labels an image as a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.images import ImageTable
from cliptune.runs import RunDir

__all__ = ["write_label_predictions"]


def write_label_predictions(
    run: RunDir,
    table: ImageTable,
    truth: NDArray[np.bool_],
    probabilities: Mapping[str, NDArray[np.float64]],
    *,
    names: Sequence[str] = (),
) -> None:
    """Write ``predictions.parquet``: id, path, labels, and probabilities by method.

    Args:
        run: Not finished yet.
        table: N images.
        truth: bool (N, C).
        probabilities: float64 (N, C) by method, in the order of the class names, which stand in
            the file's metadata.
        names: C names; those of the table otherwise.
    """
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    names = tuple(names) or table.class_names
    columns = {
        "id": pa.array(table.ids, pa.string()),
        "path": pa.array([source.location for source in table.sources], pa.string()),
        "labels": pa.array([[names[c] for c in np.flatnonzero(row)] for row in truth]),
    }
    for name, found in probabilities.items():
        columns[f"probabilities_{name}"] = pa.array(list(found), pa.list_(pa.float64()))
    described = {"cliptune.class_names": json.dumps(names, ensure_ascii=False)}
    with run.writing("predictions.parquet") as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata(described), temporary)
