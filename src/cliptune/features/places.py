"""Where the inputs of cached vectors lie, so that some can be computed again later.

A table in the memo of contents maps the digest of an image to the place it was last read from,
and that of a text to the text. It knows no encoder; losing it costs nothing but that check.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import BadImageError
from cliptune.features.keys import CONTENT_BYTES, content_digest
from cliptune.images.parquet_rows import BatchCache, ImageColumn, ParquetSource
from cliptune.images.sources import FileSource, TarSource

if TYPE_CHECKING:
    from cliptune.images.sources import Source

__all__ = ["read_image", "read_text", "recall_places", "record_images", "record_texts"]

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 30.0
_AT_ONCE = 500  # SQLite takes at least 999 values in a query
_CREATE = "CREATE TABLE IF NOT EXISTS places (digest BLOB PRIMARY KEY, place TEXT) WITHOUT ROWID"
_KEEP = "INSERT OR REPLACE INTO places VALUES (?, ?)"
_FIND = "SELECT digest, place FROM places WHERE digest IN ({})"


def record_images(memo: Path, contents: NDArray[np.bytes_], sources: Iterable[Source]) -> None:
    """Record where images (N,) with these digests were read; unknown kinds of places are not."""
    places = zip(_keys(contents), map(_describe, sources), strict=True)
    _record(memo, ((key, json.dumps(place)) for key, place in places if place is not None))


def record_texts(memo: Path, contents: NDArray[np.bytes_], texts: Sequence[str]) -> None:
    """Record texts by their digests (T,)."""
    rows = zip(_keys(contents), texts, strict=True)
    _record(memo, ((key, json.dumps(["text", text])) for key, text in rows))


def recall_places(memo: Path, contents: NDArray[np.bytes_]) -> dict[bytes, str]:
    """Return what was recorded of some digests, for ``read_image`` and ``read_text``."""
    keys = list(_keys(contents))
    found: dict[bytes, str] = {}
    if not memo.is_file():
        return found
    try:
        with closing(_connect(memo)) as connection:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                found.update(connection.execute(_FIND.format(", ".join("?" * len(part))), part))
    except sqlite3.Error as error:
        _LOG.warning("%s is of no use (%s)", memo, error)
    return found


def read_image(place: str, content: bytes) -> tuple[bytes, str] | None:
    """Read an image where it was; None where it is gone or another one.

    Returns:
        Its bytes and a name for messages.
    """
    try:
        source = _source(*json.loads(place))
        data = source.read() if source is not None else b""
    except (BadImageError, ValueError, TypeError, OSError):
        return None
    if source is None or content_digest(data) != content:
        return None
    return data, source.location


def read_text(place: str, content: bytes) -> str | None:
    """Return a recorded text; None where there is something else."""
    try:
        kind, text = json.loads(place)
        matches = content_digest(text.encode("utf-8", "surrogatepass")) == content
    except (ValueError, TypeError, AttributeError):
        return None
    return text if kind == "text" and matches else None


def _keys(contents: NDArray[np.bytes_]) -> Iterator[bytes]:
    """Return digests in full: NumPy drops zeros at the end of what it hands out."""
    return (bytes(content).ljust(CONTENT_BYTES, b"\0") for content in contents)


def _describe(source: Source) -> list[str | int] | None:
    if isinstance(source, FileSource):
        return ["file", os.path.abspath(source.path)]  # noqa: PTH100  for many thousand files
    if isinstance(source, TarSource):
        path = os.path.abspath(source.path)  # noqa: PTH100
        return ["tar", path, source.member, source.offset, source.size]
    if isinstance(source, ParquetSource):
        return ["parquet", str(Path(source.column.path).absolute()), source.column.name, source.row]
    return None


def _source(kind: str, path: str, *rest: str | int) -> Source | None:
    if kind == "file":
        return FileSource(path, path)
    if kind == "tar":
        member, offset, size = rest
        return TarSource(path, path, str(member), int(offset), int(size))
    if kind == "parquet":
        name, row = rest
        return ParquetSource(path, ImageColumn(Path(path), str(name), BatchCache()), int(row))
    return None


def _record(memo: Path, rows: Iterable[tuple[bytes, str]]) -> None:
    try:
        with closing(_connect(memo)) as connection, connection:
            connection.executemany(_KEEP, rows)
    except sqlite3.Error as error:
        _LOG.warning("cannot record places in %s (%s)", memo, error)


def _connect(memo: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(memo, timeout=_WAIT_SECONDS)
    connection.execute(_CREATE)
    return connection
