"""Features as a Parquet file that other tools read.

It knows nothing about encoders or the cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import DataError
from cliptune.features.types import Features
from cliptune.system.atomic import TEMPORARY, atomic_path
from cliptune.system.parquet import repeated_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from cliptune.images import ImageTable

__all__ = ["export_parquet"]

_ROWS_PER_GROUP = 8192
_DEAD_SECONDS = 5.0


def export_parquet(features: Features, table: ImageTable, out_dir: str | Path) -> Path:
    """Write ``out_dir/features.parquet``, a row group at a time, whole or not at all.

    Columns: ``id``, ``path`` (where the image lies), ``label`` (int64, null where unknown),
    ``class_name`` (null where unknown), ``split`` (null without splits) and ``vector``
    (fixed-size list of float32). The schema's metadata hold ``cliptune.key`` and
    ``cliptune.class_names`` (JSON).

    Args:
        features: N embeddings.
        table: The table that they were made from.
        out_dir: Where; made if it is missing.

    Returns:
        The file.

    Raises:
        DataError: Features and table differ in their images.
        UnavailableError: The place cannot be written to.
    """
    import pyarrow.parquet as pq

    if features.row_ids != table.ids:
        raise DataError(
            f"the features are of {len(features)} images that are not the {len(table)} of "
            f"{table.root!r} (expected the same ids in the same order); embed this table"
        )
    target = Path(out_dir) / "features.parquet"
    schema = _schema(features, table)
    with (
        atomic_path(target) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", use_dictionary=repeated_columns(schema)
        ) as writer,
    ):
        for group in _groups(features, table, schema):
            writer.write_table(group, row_group_size=_ROWS_PER_GROUP)
    _remove_leftovers(target)
    return target


def _remove_leftovers(target: Path) -> None:
    """Remove what killed processes had begun; one that is at work writes all the time."""
    for path in target.parent.glob(f"{TEMPORARY}*{target.suffix}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _DEAD_SECONDS:
                path.unlink()


def _schema(features: Features, table: ImageTable) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            ("label", pa.int64()),
            ("class_name", pa.string()),
            ("split", pa.string()),
            ("vector", pa.list_(pa.float32(), features.vectors.shape[1])),
        ],
        metadata={
            "cliptune.key": features.key,
            "cliptune.class_names": json.dumps(table.class_names, ensure_ascii=False),
        },
    )


def _groups(features: Features, table: ImageTable, schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    names = table.class_names
    for start in range(0, len(table), _ROWS_PER_GROUP):
        rows = slice(start, start + _ROWS_PER_GROUP)
        labels = table.labels[rows].tolist()
        flat = np.ascontiguousarray(features.vectors[rows]).reshape(-1)
        columns = [
            features.row_ids[rows],
            [source.location for source in table.sources[rows]],
            [label if label >= 0 else None for label in labels],
            [names[label] if label >= 0 else None for label in labels],
            [split or None for split in table.splits[rows].tolist()],
            pa.FixedSizeListArray.from_arrays(pa.array(flat), features.vectors.shape[1]),
        ]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        yield pa.Table.from_arrays(arrays, schema=schema)
