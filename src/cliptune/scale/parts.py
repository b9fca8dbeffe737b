"""Part files: the rows of one shard as Parquet, whole or not at all.

It knows nothing about jobs beyond the digest that a part carries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.system.atomic import atomic_path
from cliptune.system.parquet import repeated_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from cliptune.images import ImageTable

__all__ = [
    "CLASS_NAMES",
    "PartFacts",
    "file_digest",
    "part_columns",
    "part_metadata",
    "read_metadata",
    "read_part",
    "read_part_facts",
    "write_part",
]

_JOB, _SKIPPED, CLASS_NAMES = b"cliptune.job", b"cliptune.skipped", b"cliptune.class_names"


@dataclass(frozen=True)
class PartFacts:
    """What a part says of itself.

    Attributes:
        rows: Rows in it.
        skipped: Images of the shard that could not be read, and why.
        sha256: Of the file, where that was written down; hex, else empty.
    """

    rows: int
    skipped: tuple[tuple[str, str], ...] = ()
    sha256: str = ""


def write_part(
    path: Path,
    table: ImageTable,
    vectors: NDArray[np.float32],
    *,
    job: str,
    dtype: str,
    skipped: tuple[tuple[str, str], ...],
) -> PartFacts:
    """Write one part.

    Columns: ``id``, ``path``, ``label`` (int64, null where unknown), ``class_name``, ``split``
    and ``vector`` (fixed-size list of float32 or float16).

    Args:
        path: Its file.
        table: The shard's readable images, n of them.
        vectors: Their embeddings, (n, D).
        job: Digest of the job.
        dtype: Of the vectors in the file.
        skipped: Images that are left out, and why.

    Raises:
        UnavailableError: The disk is full or cannot be written.
    """
    import pyarrow.parquet as pq

    labels = [label if label >= 0 else None for label in table.labels.tolist()]
    said = part_metadata(job, skipped, table.class_names)
    written = part_columns(table, labels, vectors, dtype).replace_schema_metadata(said)
    with atomic_path(path) as temporary:
        texts = repeated_columns(written.schema)
        pq.write_table(written, temporary, compression="zstd", use_dictionary=texts)
    return PartFacts(len(table), skipped)


def part_columns(
    table: ImageTable, labels: Sequence[int | None], vectors: NDArray[np.float32], dtype: str
) -> pa.Table:
    """Return the columns of a part.

    Args:
        table: n images.
        labels: Their numbers in the column ``label``.
        vectors: Their embeddings, (n, D).
        dtype: ``float32`` or ``float16``.
    """
    import pyarrow as pa

    names, codes = table.class_names, table.labels.tolist()
    kind = pa.float16() if dtype == "float16" else pa.float32()
    flat = np.ascontiguousarray(vectors, dtype=dtype).reshape(-1)
    columns = {
        "id": pa.array(table.ids, pa.string()),
        "path": pa.array([source.location for source in table.sources], pa.string()),
        "label": pa.array(labels, pa.int64()),
        "class_name": pa.array([names[c] if c >= 0 else None for c in codes], pa.string()),
        "split": pa.array([split or None for split in table.splits.tolist()], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat, kind), vectors.shape[1]),
    }
    return pa.table(columns)


def part_metadata(
    job: str, skipped: Sequence[tuple[str, str]], class_names: Sequence[str]
) -> dict[bytes, str]:
    """Return what a part says of itself."""
    return {
        _JOB: job,
        _SKIPPED: json.dumps(skipped, ensure_ascii=False),
        CLASS_NAMES: json.dumps(class_names, ensure_ascii=False),
    }


def read_part_facts(path: Path, job: str) -> PartFacts | None:
    """Read what a part says of itself; None where it is absent, broken or of another job."""
    found = read_metadata(path, job)
    return None if found is None else found[0]


def read_metadata(path: Path, job: str) -> tuple[PartFacts, Mapping[bytes, bytes]] | None:
    """Read the same, and all else that stands beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        said: dict[bytes, bytes] = metadata.metadata or {}
        if said.get(_JOB) != job.encode():
            return None
        skipped = tuple((str(a), str(b)) for a, b in json.loads(said[_SKIPPED]))
        return PartFacts(metadata.num_rows, skipped), said
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None


def read_part(path: Path, columns: list[str]) -> pa.Table:
    """Read some columns of a part."""
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=columns, partitioning=None)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
