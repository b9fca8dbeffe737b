"""Parquet files as the ``datasets`` library lays them out: pictures within, classes by name.

It knows the columns and the library's description of them, so that both read the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Row, Writer, iterate_rows, rows_by_split

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["WRITER"]

_BYTES_A_GROUP = 32 << 20
_IMAGES_A_GROUP = 1000


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT-00000-of-00001.parquet``, in groups of at most 1,000 rows or 32 MB."""
    import pyarrow.parquet as pq

    schema = _schema(table)
    for split, part in rows_by_split(table).items():
        path = folder / f"{split or 'data'}-00000-of-00001.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            rows: list[Row] = []
            for row in iterate_rows(part):
                rows.append(row)
                if len(rows) >= _IMAGES_A_GROUP or sum(len(r.data) for r in rows) > _BYTES_A_GROUP:
                    writer.write_table(_as_arrow(rows, table, schema))
                    rows = []
            if rows:
                writer.write_table(_as_arrow(rows, table, schema))
    return ()


WRITER = Writer("parquet", "Parquet files with the pictures in them", write)


def _as_arrow(rows: list[Row], table: ImageTable, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    code_of = {name: code for code, name in enumerate(table.class_names)}
    several = table.label_sets is not None
    columns: dict[str, list[Any]] = {  # Any: cells
        "image": [{"bytes": row.data, "path": row.name} for row in rows],
        "label": [
            (None if row.labels is None else list(row.labels))
            if several
            else (code_of[row.labels[0]] if row.labels else None)
            for row in rows
        ],
        "captions": [list(row.captions) for row in rows],
        "group": [row.group for row in rows],
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _schema(table: ImageTable) -> pa.Schema:
    import pyarrow as pa

    several = table.label_sets is not None
    texts = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}
    fields = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}  # Any: plain JSON values
    if table.class_names:
        fields.append(("label", pa.list_(pa.string()) if several else pa.int64()))
        names = {"names": list(table.class_names), "_type": "ClassLabel"}
        features["label"] = texts if several else names
    if table.captions is not None:
        fields.append(("captions", pa.list_(pa.string())))
        features["captions"] = texts
    if table.groups is not None:
        fields.append(("group", pa.string()))
        features["group"] = {"dtype": "string", "_type": "Value"}
    described = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": described})
