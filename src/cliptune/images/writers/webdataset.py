"""WebDataset shards: plain tar archives named after their split.

It knows members: a number as key, the image, and a JSON member with ``label`` and ``class_name``.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Row, Writer, iterate_rows, rows_by_split

__all__ = ["WRITER"]

_IMAGES_A_SHARD = 10_000
_BYTES_A_SHARD = 1 << 30


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT-000000.tar`` and so on, each of at most 10,000 images or a gigabyte."""
    kinds: set[str] = set()
    code_of = {name: code for code, name in enumerate(table.class_names)}
    for split, part in rows_by_split(table).items():
        archive, n_shards, n_images, n_bytes = None, 0, 0, 0
        for number, row in enumerate(iterate_rows(part)):
            if archive is None or n_images >= _IMAGES_A_SHARD or n_bytes >= _BYTES_A_SHARD:
                if archive is not None:
                    archive.close()
                path = folder / f"{split or 'data'}-{n_shards:06d}.tar"
                archive = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
                n_shards, n_images, n_bytes = n_shards + 1, 0, 0
            kinds.add(row.suffix)
            _add(archive, f"{number:08d}.{row.suffix}", row.data)
            _add(archive, f"{number:08d}.json", _facts(row, code_of, table))
            n_images, n_bytes = n_images + 1, n_bytes + len(row.data)
        if archive is not None:
            archive.close()
    if len(kinds) < 2:
        return ()
    # findings/datasets_webdataset_kinds.sh
    return (
        f"the shards hold {' and '.join(sorted(kinds))} files, as the images are: the library "
        "webdataset reads all, Hugging Face's datasets 5.2 only those of the first kind (write "
        "parquet or hf for it)",
    )


WRITER = Writer("webdataset", "tar shards named after splits", write)


def _facts(row: Row, code_of: dict[str, int], table: ImageTable) -> bytes:
    facts: dict[str, Any] = {"name": row.name}  # Any: plain JSON values
    if table.label_sets is not None:
        facts["label"] = row.labels
    elif row.labels:
        facts |= {"label": code_of[row.labels[0]], "class_name": row.labels[0]}
    if table.captions is not None:
        facts["captions"] = row.captions
    if table.groups is not None:
        facts["group"] = row.group
    return json.dumps(facts).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
