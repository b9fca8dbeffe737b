"""Rows of equal size in one file, written in any order, each with a checksum.

It knows nothing about what a row is. Rows are read and written at their place, never mapped: a
full disk is then an error of a write, where a mapped page would end the process.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.errors import UnavailableError
from cliptune.system.atomic import os_reason

__all__ = ["KeptRows", "row_bytes"]

_BYTES_OF = {torch.float32: 4, torch.bfloat16: 2, torch.float16: 2}


class KeptRows:
    """N rows of one shape and dtype in ``PATH.rows``, and their checksums in ``PATH.sums``.

    A row whose checksum does not fit is as good as absent, so that a killed writer, or a second
    one at work on the same rows, leaves nothing false.

    Args:
        path: Without an ending; its folder is made.
        n_rows: N.
        shape: Of a row.
        dtype: float32, bfloat16 or float16.

    Raises:
        UnavailableError: The place cannot be written to.
    """

    def __init__(self, path: Path, n_rows: int, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.path = path
        self._shape, self._dtype = tuple(shape), dtype
        self._row_bytes = row_bytes(shape, dtype)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = os.open(path.with_suffix(".rows"), os.O_RDWR | os.O_CREAT, 0o644)
            self._sums_file = os.open(path.with_suffix(".sums"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UnavailableError(f"cannot write {str(path)!r} ({os_reason(error)})") from error
        found = np.frombuffer(os.pread(self._sums_file, 4 * n_rows, 0), "<u4")
        self._sums = np.zeros(n_rows, dtype="<u4")
        self._sums[: len(found)] = found
        self._checked = np.zeros(n_rows, dtype=bool)

    def lacks(self, rows: NDArray[np.int64]) -> bool:
        """Tell whether any of these rows is absent or damaged; each is looked at once."""
        for row in rows[~self._checked[rows]].tolist():
            if not self._sums[row] or self._read(row) is None:
                return True
            self._checked[row] = True
        return False

    def read(self, rows: NDArray[np.int64]) -> Tensor:
        """Return rows that are there: (n, ...), float32 or what the file holds."""
        data = bytearray()
        for row in rows.tolist():
            data += os.pread(self._rows, self._row_bytes, row * self._row_bytes)
        return torch.frombuffer(data, dtype=self._dtype).view(len(rows), *self._shape)

    def write(self, rows: NDArray[np.int64], values: Tensor) -> None:
        """Put rows in their place, each before its checksum.

        Raises:
            UnavailableError: The disk is full or cannot be written.
        """
        plain = values.detach().to("cpu", self._dtype).contiguous()
        for row, value in zip(rows.tolist(), plain, strict=True):
            data = value.flatten().view(torch.uint8).numpy().tobytes()
            self._sums[row] = _checksum(data)
            try:
                _write_all(self._rows, data, row * self._row_bytes)
                _write_all(self._sums_file, self._sums[row].tobytes(), 4 * row)
            except OSError as error:
                self._sums[row] = 0
                raise UnavailableError(
                    f"cannot write {str(self.path)!r} ({os_reason(error)})"
                ) from error
            self._checked[row] = True

    def close(self) -> None:
        """Close both files."""
        os.close(self._rows)
        os.close(self._sums_file)

    def _read(self, row: int) -> bytes | None:
        data = os.pread(self._rows, self._row_bytes, row * self._row_bytes)
        return data if _checksum(data) == self._sums[row] else None


def row_bytes(shape: Sequence[int], dtype: torch.dtype) -> int:
    """Return the size of a row."""
    return int(np.prod(shape)) * _BYTES_OF[dtype]


def _checksum(data: bytes) -> int:
    """Return a checksum that is never 0, which stands for an absent row."""
    return zlib.crc32(data) or 1


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
