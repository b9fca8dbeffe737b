"""WebDataset shards: plain tar archives named after their split.

It knows members: a number as key, the image, and a JSON member with ``label`` and ``class_name``.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Row, Writer, iterate_rows, rows_by_split

__all__ = ["IMAGES_A_TAR", "WRITER", "note_kinds", "tar_name", "write_tar"]

IMAGES_A_TAR = 10_000
_BYTES_A_TAR = 1 << 30


def write(table: ImageTable, folder: Path) -> tuple[str, ...]:
    """Write ``SPLIT-000000.tar`` and so on, each of at most 10,000 images or a gigabyte."""
    kinds: set[str] = set()
    for split, part in rows_by_split(table).items():
        rows = enumerate(iterate_rows(part))
        n_tars, next_row = 0, next(rows, None)
        while next_row is not None:
            path = folder / tar_name(split, n_tars)
            next_row = _fill(path, next_row, rows, table, kinds)
            n_tars += 1
    return note_kinds(kinds)


def write_tar(path: Path, table: ImageTable, names: Sequence[str], first: int) -> frozenset[str]:
    """Write one tar, as ``write`` writes it.

    Args:
        path: Its file.
        table: Its n images, of one split.
        names: Their n names; see ``name_rows``.
        first: Number of the first among the images of its split.

    Returns:
        The suffixes of the images in it.

    Raises:
        BadImageError: The bytes of one cannot be had.
    """
    kinds: set[str] = set()
    with _open(path) as archive:
        for number, row in enumerate(iterate_rows(table, names), first):
            _add_row(archive, number, row, table)
            kinds.add(row.suffix)
    return frozenset(kinds)


def tar_name(split: str, number: int) -> str:
    """Return what a tar is called."""
    return f"{split or 'data'}-{number:06d}.tar"


def note_kinds(kinds: Collection[str]) -> tuple[str, ...]:
    """Say what readers make of tars with several kinds of pictures."""
    if len(kinds) < 2:
        return ()
    # findings/datasets_webdataset_kinds.sh
    return (
        f"the shards hold {' and '.join(sorted(kinds))} files, as the images are: the library "
        "webdataset reads all, Hugging Face's datasets 5.2 only those of the first kind (write "
        "parquet or hf for it)",
    )


WRITER = Writer("webdataset", "tar shards named after splits", write)

_Numbered = tuple[int, Row]


def _fill(
    path: Path,
    row: _Numbered | None,
    more: Iterator[_Numbered],
    table: ImageTable,
    kinds: set[str],
) -> _Numbered | None:
    """Write rows until a tar is full; return the first one that did not fit."""
    n_images, n_bytes = 0, 0
    with _open(path) as archive:
        while row is not None and n_images < IMAGES_A_TAR and n_bytes < _BYTES_A_TAR:
            _add_row(archive, *row, table)
            kinds.add(row[1].suffix)
            n_images, n_bytes = n_images + 1, n_bytes + len(row[1].data)
            row = next(more, None)
    return row


def _open(path: Path) -> tarfile.TarFile:
    return tarfile.open(path, "w", format=tarfile.GNU_FORMAT)


def _add_row(archive: tarfile.TarFile, number: int, row: Row, table: ImageTable) -> None:
    _add(archive, f"{number:08d}.{row.suffix}", row.data)
    _add(archive, f"{number:08d}.json", _facts(row, table))


def _facts(row: Row, table: ImageTable) -> bytes:
    facts: dict[str, Any] = {"name": row.name}  # Any: plain JSON values
    if table.label_sets is not None:
        facts["label"] = row.labels
    elif row.labels:
        facts |= {"label": table.class_names.index(row.labels[0]), "class_name": row.labels[0]}
    if table.captions is not None:
        facts["captions"] = row.captions
    if table.groups is not None:
        facts["group"] = row.group
    return json.dumps(facts).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
