"""Vectors out of several shards, without holding more of them in memory than need be.

It knows nothing about digests or locks: a place is a row's number, counted through all shards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import UnavailableError
from cliptune.features.shards import Shard

__all__ = ["cache_errors", "gather_rows", "pieces_of"]

_PIECE_BYTES = 1 << 22
_RESIDENT_BYTES = 1 << 29


def gather_rows(
    shards: Sequence[Shard], places: NDArray[np.int64], *, max_resident: int = _RESIDENT_BYTES
) -> NDArray[np.float32]:
    """Return the vectors at some places.

    Args:
        shards: The shards, at least one.
        places: int64, shape (N,), at least one.
        max_resident: Bytes up to which a copy may stand in memory.

    Returns:
        float32, shape (N, ...): a private map of the file where the rows lie in one piece;
        else a copy, in memory or, beyond ``max_resident``, in a temporary file without a name.

    Raises:
        UnavailableError: There is no room for that file.
    """
    offsets = np.cumsum([0, *map(len, shards)])
    first, last = int(places[0]), int(places[-1])
    owner = int(np.searchsorted(offsets, first, side="right")) - 1
    if last < offsets[owner + 1] and (np.diff(places) == 1).all():
        return shards[owner].map()[first - offsets[owner] : last + 1 - offsets[owner]]
    if len(places) * shards[0].row_bytes <= max_resident:
        return _picked(shards, places, offsets)
    return _picked_to_disk(shards, places, offsets)


def _picked(
    shards: Sequence[Shard], places: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float32]:
    rows = np.empty((len(places), *shards[0].row_shape), np.float32)
    owners = np.searchsorted(offsets, places, side="right") - 1
    for owner in np.unique(owners):
        mine = owners == owner
        rows[mine] = shards[owner].map()[places[mine] - offsets[owner]]
    return rows


def _picked_to_disk(
    shards: Sequence[Shard], places: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float32]:
    step = max(1, _PIECE_BYTES // shards[0].row_bytes)
    folder = shards[0].path.parent
    with cache_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        for start in range(0, len(places), step):
            piece = _picked(shards, places[start : start + step], offsets)
            file.write(piece.reshape(-1).data.cast("B"))
        file.flush()
        shape = (len(places), *shards[0].row_shape)
        return np.memmap(file, np.float32, mode="c", shape=shape).view(np.ndarray)


def pieces_of(shards: Sequence[Shard], keep: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    """Read the vectors of several shards piece by piece, those only that ``keep`` (N,) marks."""
    offset = 0
    for shard in shards:
        step = max(1, _PIECE_BYTES // shard.row_bytes)
        for start in range(0, len(shard), step):
            stop = min(start + step, len(shard))
            yield shard.read(start, stop)[keep[offset + start : offset + stop]]
        offset += len(shard)


@contextmanager
def cache_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into one line that says what to do."""
    try:
        yield
    except UnavailableError:
        raise
    except OSError as error:
        raise UnavailableError(
            f"cannot write to the cache {str(path)!r} ({error.strerror or error}); make room or "
            "name another --cache-dir"
        ) from error
