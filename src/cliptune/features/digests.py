"""What each image's file holds, as a digest, without reading it again while it is unchanged.

A memo in SQLite maps the state of a file (see ``file_state``) to the digests of what is in it.
Renaming a folder does not change the state of its files. What is embedded is digested again as it
is decoded, so a file that the memo has wrong never gives its vector a wrong name.

This module knows nothing about models. Losing the memo costs one more reading.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.features.keys import CONTENT_BYTES, content_digest
from cliptune.images.hub_rows import HubSource
from cliptune.images.parquet_rows import ParquetSource
from cliptune.images.sources import FileSource, TarSource
from cliptune.system.file_state import FileState

if TYPE_CHECKING:
    from cliptune.images.sources import Source

__all__ = ["MEMO_NAME", "content_digests"]

MEMO_NAME = "contents.sqlite"

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 30.0
_REMEMBERED_AT_ONCE = 4096

_CREATE = """
CREATE TABLE IF NOT EXISTS contents (
    file TEXT, member TEXT, state TEXT, digest BLOB, PRIMARY KEY (file, member)
) WITHOUT ROWID
"""
_FIND = "SELECT file, member, state, digest FROM contents WHERE file IN ({})"
_FOUND_AT_ONCE = 500  # SQLite takes at least 999 names in a query
_KEEP = "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)"


def content_digests(sources: Sequence[Source], memo: Path, *, workers: int) -> NDArray[np.bytes_]:
    """Digest the bytes of every image.

    Args:
        sources: N images.
        memo: The SQLite file that remembers them; made if it is missing.
        workers: Threads that read.

    Returns:
        Digests, shape (N,), 16 bytes each.

    Raises:
        BadImageError: A source cannot be read; the message names it.
    """
    stamps = _stamps(sources)
    known = _recall(memo, stamps)
    unknown = [i for i, digest in enumerate(known) if digest is None]
    if unknown:
        _LOG.info("reading %d of %d images to see what is in them", len(unknown), len(sources))
    with ThreadPoolExecutor(workers, thread_name_prefix="cliptune-digest") as pool:
        for start in range(0, len(unknown), _REMEMBERED_AT_ONCE):
            part = unknown[start : start + _REMEMBERED_AT_ONCE]
            read = pool.map(lambda i: content_digest(sources[i].read()), part)
            for i, digest in zip(part, read, strict=True):
                known[i] = digest
            _remember(memo, ((stamps[i], known[i]) for i in part))
    return np.array(known, f"S{CONTENT_BYTES}")


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Where an image's bytes stood, and what the file system said about that file then."""

    file: str
    member: str
    state: str
    settled: bool


def _stamps(sources: Sequence[Source]) -> list[_Stamp | None]:
    """Stamp each image before its bytes are read, so that a change meanwhile shows later."""

    @cache
    def stamp_of(paths: tuple[str, ...]) -> tuple[str, str, bool] | None:
        try:
            files = [FileState.of(path) for path in paths]
        except OSError:
            return None
        names = [f"{file.device}:{file.inode}" for file in files]
        states = [f"{file.size}:{file.modified_ns}:{file.changed_ns}" for file in files]
        return _joined(names), _joined(states), all(file.has_settled() for file in files)

    @cache
    def keeps_bytes(path: Path, column: str) -> bool:
        return _holds_bytes(path, column)

    stamps: list[_Stamp | None] = []
    for source in sources:
        place = _place(source)
        if isinstance(source, ParquetSource):
            place = place if keeps_bytes(source.column.path, source.column.name) else None
        stamp = stamp_of(place[0]) if place else None
        stamps.append(_Stamp(stamp[0], place[1], *stamp[1:]) if stamp and place else None)
    return stamps


def _joined(parts: list[str]) -> str:
    """Return the only part, or one short text for many."""
    return parts[0] if len(parts) == 1 else content_digest("|".join(parts).encode()).hex()


def _place(source: Source) -> tuple[tuple[str, ...], str] | None:
    """Return the files that hold an image, and where in them; None where no file does."""
    if isinstance(source, FileSource):
        return (source.path,), ""
    if isinstance(source, TarSource):
        return (source.path,), f"{source.offset}+{source.size}"
    if isinstance(source, ParquetSource):
        return (str(source.column.path),), f"{source.column.name}#{source.row}"
    if isinstance(source, HubSource) and source.path:
        return (os.path.realpath(source.path),), ""
    if isinstance(source, HubSource) and source.files:
        return source.files, f"{source.column}#{source.row}"
    return None


def _holds_bytes(path: Path, column: str) -> bool:
    """Tell whether every cell is bytes: cells that name files say nothing of those files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            kind = file.schema_arrow.field(column).type
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                return True
            groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
    except (OSError, ValueError, KeyError):
        return False
    nulls = [
        chunk.statistics.null_count if chunk.statistics else None
        for group in groups
        for chunk in (group.column(c) for c in range(group.num_columns))
        if chunk.path_in_schema == f"{column}.bytes"
    ]
    return len(nulls) == len(groups) and all(count == 0 for count in nulls)


def _recall(memo: Path, stamps: Sequence[_Stamp | None]) -> list[bytes | None]:
    """Return the recorded digest of each stamp, or None."""
    found: dict[tuple[str, str, str], bytes] = {}
    files = list({s.file for s in stamps if s})
    try:
        with closing(_connect(memo)) as connection:
            for start in range(0, len(files), _FOUND_AT_ONCE):
                part = files[start : start + _FOUND_AT_ONCE]
                rows = connection.execute(_FIND.format(", ".join("?" * len(part))), part)
                found.update(
                    ((file, member, state), digest) for file, member, state, digest in rows
                )
    except sqlite3.Error as error:
        _LOG.warning("%s is of no use (%s); all images are read again", memo, error)
    return [found.get((s.file, s.member, s.state)) if s else None for s in stamps]


def _remember(memo: Path, entries: Iterable[tuple[_Stamp | None, bytes | None]]) -> None:
    rows = [(s.file, s.member, s.state, digest) for s, digest in entries if s and s.settled]
    if not rows:
        return
    try:
        with closing(_connect(memo)) as connection, connection:
            connection.executemany(_KEEP, rows)
    except sqlite3.Error as error:
        _LOG.warning("cannot record digests in %s (%s); they are computed again", memo, error)


def _connect(memo: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(memo, timeout=_WAIT_SECONDS)
    connection.execute(_CREATE)
    return connection
