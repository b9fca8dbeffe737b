"""Images that stand in a Parquet file's column, read a few rows at a time.

It knows nothing about labels. Own code instead of the ``datasets`` library because that one
takes seconds to import and first copies every file into a cache of its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cliptune.images.decode import bad_image
from cliptune.system.file_kinds import can_name, read_regular

if TYPE_CHECKING:
    import pyarrow.parquet

__all__ = ["BatchCache", "ImageColumn", "ParquetSource"]

_log = logging.getLogger(__name__)

_BATCH_BYTES = 16 << 20
_CACHE_BYTES = 256 << 20

Cell = Any  # Any: bytes, a path, or a struct of both, as the column has it


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """One row of an image column."""

    id: str
    column: ImageColumn
    row: int

    @property
    def location(self) -> str:
        """The file's path and the row's number, from 0."""
        return f"{self.column.path}#{self.row}"

    def read(self) -> bytes:
        """Return the row's image; see ``Source.read``."""
        return self.column.read(self.row)


class BatchCache:
    """The batches read last, up to a number of bytes; shared by the files of one table."""

    def __init__(self, max_bytes: int = _CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._batches: OrderedDict[tuple[str, int, int], tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int, int]) -> Any | None:  # Any: a pyarrow.Array
        """Return the batch of that file, row group and number when it is still here."""
        with self._lock:
            if key not in self._batches:
                return None
            self._batches.move_to_end(key)
            return self._batches[key][0]

    def put(self, key: tuple[str, int, int], batch: Any) -> None:  # Any: a pyarrow.Array
        """Keep a batch, and forget those not used for longest when there are too many bytes."""
        with self._lock:
            self._batches[key] = (batch, batch.nbytes)
            held = sum(size for _, size in self._batches.values())
            while held > self.max_bytes and len(self._batches) > 1:
                held -= self._batches.popitem(last=False)[1][1]

    def __reduce__(self) -> tuple[type[BatchCache], tuple[int]]:
        return BatchCache, (self.max_bytes,)


class ImageColumn:
    """The image column of one Parquet file: bytes, paths, or structs of ``bytes`` and ``path``.

    It opens the file on first use, may be shared by threads, and reads row groups batch by
    batch: reading in order holds no more than the cache and a page of the file, however large
    a row group is. Reading in random order starts a row group again for each batch that the
    cache lost, which is slow when a row group is larger than the cache.

    Args:
        path: The Parquet file.
        name: The column.
        cache: Where batches are kept.
    """

    def __init__(self, path: Path, name: str, cache: BatchCache) -> None:
        self.path = path
        self.name = name
        self._cache = cache
        self._lock = threading.Lock()
        self._file: pyarrow.parquet.ParquetFile | None = None
        self._cursor: tuple[int, int, Iterator[Any]] | None = None  # Any: a pyarrow.RecordBatch

    def read(self, row: int) -> bytes:
        """Return the encoded image of one row.

        Raises:
            BadImageError: The cell is empty, or the file that it names cannot be read.
        """
        where = f"{self.path}#{row}"
        try:
            cell = self._cell(row)
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these
            reason = " ".join(str(error).split())
            raise bad_image(where, f"the Parquet file is damaged ({reason})") from error
        if isinstance(cell, list):
            if len(cell) > 1:
                raise bad_image(where, f"the row holds {len(cell)} images; expected one")
            cell = cell[0] if cell else None
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, "")
        if isinstance(data, bytes):
            return data
        if not path:
            raise bad_image(where, "the row holds no image")
        if not isinstance(path, str) or not can_name(path):
            raise bad_image(where, f"{str(path)[:60]!r} is no path")
        return _read_beside(self.path.parent, path, where)

    def _cell(self, row: int) -> Cell:
        with self._lock:
            file = self._open()
            group = int(np.searchsorted(self._starts, row, side="right")) - 1
            index, offset = divmod(row - int(self._starts[group]), self._batch_rows[group])
            batch = self._cache.get((str(self.path), group, index))
            if batch is None:
                batch = self._advance(file, group, index)
        return batch[offset].as_py()

    def _open(self) -> pyarrow.parquet.ParquetFile:
        if self._file is None:
            import pyarrow.parquet as pq

            file = pq.ParquetFile(self.path, memory_map=True)
            groups = [file.metadata.row_group(g) for g in range(file.metadata.num_row_groups)]
            self._starts = np.cumsum([0] + [g.num_rows for g in groups])
            self._batch_rows = [
                max(1, min(1000, _BATCH_BYTES * g.num_rows // max(1, g.total_byte_size)))
                for g in groups
            ]
            self._file = file
            self._warn_of_large_groups(max(g.total_byte_size for g in groups))
        return self._file

    def _warn_of_large_groups(self, n_bytes: int) -> None:
        if n_bytes > self._cache.max_bytes:
            _log.warning(
                "%s has a row group of %d MB: reading it in random order is slow; write it with "
                "row groups of about 1000 rows",
                self.path,
                n_bytes >> 20,
            )

    def _advance(self, file: pyarrow.parquet.ParquetFile, group: int, index: int) -> Any:
        """Read on to a batch, from where the last read stopped when that is before it."""
        if self._cursor is None or self._cursor[0] != group or self._cursor[1] > index:
            size = self._batch_rows[group]
            batches = file.iter_batches(size, row_groups=[group], columns=[self.name])
            self._cursor = (group, 0, batches)
        _, position, batches = self._cursor
        self._cursor = None  # after an error it would stand in the wrong place
        column = None
        for number in range(position, index + 1):
            batch = next(batches, None)
            if batch is None:
                raise ValueError("it has fewer rows than it says")
            column = batch.column(0)
            self._cache.put((str(self.path), group, number), column)
        self._cursor = (group, index + 1, batches)
        return column

    def __reduce__(self) -> tuple[type[ImageColumn], tuple[Path, str, BatchCache]]:
        return ImageColumn, (self.path, self.name, self._cache)


def _read_beside(folder: Path, relative: str, where: str) -> bytes:
    target = Path(os.path.realpath(folder / relative))
    if not target.is_relative_to(os.path.realpath(folder)):
        raise bad_image(where, f"its path {relative!r} leads out of {str(folder)!r}")
    try:
        return read_regular(target)
    except OSError as error:
        raise bad_image(where, f"{relative!r}: {error.strerror}") from error
