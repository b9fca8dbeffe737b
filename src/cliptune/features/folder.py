"""The shards of one key in one folder: append, find, gather, merge.

Every change happens under the folder's lock, so several processes may work in it. Nothing here
knows about encoders or images: rows go by the digest of what they were made from.

::

    FOLDER/
      meta.json                 what the vectors are; its modification time is their last use
      00000000-....safetensors  shards
      lock                      held for the moment of a change
      claims/                   one lock per table that is being embedded, held throughout
      quarantine/               shards that were found damaged
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CheckpointError, UnavailableError
from cliptune.features.gather import cache_errors, gather_rows, pieces_of
from cliptune.features.keys import CONTENT_BYTES
from cliptune.features.shards import (
    Shard,
    open_shard,
    remove_unfinished,
    shard_is_intact,
    write_shard,
)

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["ShardFolder", "is_busy", "quarantine", "shard_files"]

_LOG = logging.getLogger(__name__)
_MERGE_RATIO = 8


class ShardFolder:
    """All vectors of one key.

    Args:
        path: The folder; made if it is missing.

    Raises:
        UnavailableError: It cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with cache_errors(path):
            (path / "claims").mkdir(parents=True, exist_ok=True)
        self._shards: list[Shard] = []
        self._sorted = np.empty(0, f"S{CONTENT_BYTES}")
        self._places = np.empty(0, np.int64)

    @cached_property
    def _lock(self) -> FileLock:
        from filelock import FileLock  # where all vectors are kept, a start does without

        return FileLock(self.path / "lock")

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Be the only one to embed the table ``name``; wait for whoever does so already."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / "claims" / name)
        with cache_errors(self.path):
            try:
                lock.acquire(timeout=1)
            except Timeout:
                _LOG.warning("another process embeds the same images; waiting for its features")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock: nobody else adds, merges or removes shards."""
        with cache_errors(self.path), self._lock:
            yield

    def refresh(self) -> None:
        """Take up what is on the disk now; damaged shards go to ``quarantine``."""
        with self.locked():
            self._load()

    def lacks(self, contents: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Tell for each digest (N,) whether there was no vector at the last ``refresh``."""
        return self._find(contents) < 0

    def append(self, contents: NDArray[np.bytes_], vectors: NDArray[np.float32]) -> None:
        """Write vectors (n, ...) as one shard; when this returns, they survive anything.

        Raises:
            UnavailableError: They cannot be written; all that was there still is.
        """
        with self.locked():
            last = max((_sequence(p) for p in shard_files(self.path)), default=-1)
            write_shard(self.path, last + 1, contents, parts=[vectors], row_shape=vectors.shape[1:])

    def adopt(self, path: Path) -> bool:
        """Take up a shard that was written elsewhere on this disk, and tell whether it is whole.

        It is moved, so that it takes no memory and no second copy. One that is torn is removed.

        Raises:
            UnavailableError: It cannot be moved; all that was there still is.
        """
        with cache_errors(self.path):
            if not shard_is_intact(path):
                path.unlink(missing_ok=True)
                return False
        with self.locked():
            last = max((_sequence(p) for p in shard_files(self.path)), default=-1)
            digest = path.stem.partition("-")[2]
            path.replace(self.path / f"{last + 1:08d}-{digest}{path.suffix}")
        return True

    def merge(self) -> None:
        """Rewrite the newest shards as one, so that a table's vectors lie in one piece.

        An older shard joins where it is no more than eight times as large as all the newer
        ones, so the count of shards grows with the logarithm of the count of vectors. Without
        room for a second copy nothing happens.
        """
        with self.locked():
            self._load()
            first = _first_to_merge([len(shard) for shard in self._shards])
            if first == len(self._shards) - 1 or not self._shards:
                return
            joined = self._shards[first:]
            try:
                self._write_merged(joined)
            except UnavailableError as error:
                _LOG.warning("the cache stays in %d files: %s", len(self._shards), error)
                return
            self._load()

    def gather(self, contents: NDArray[np.bytes_]) -> NDArray[np.float32]:
        """Return the vectors of the digests (N,), shape (N, ...).

        A map of the file where they lie in one piece; else a copy, in memory up to 512 MiB
        and in a temporary file without a name beyond.

        Raises:
            UnavailableError: Some are gone: another process has pruned the cache.
        """
        with self.locked():  # else a merge could take a shard away before it is mapped
            self._load()
            places = self._find(contents)
            if (places < 0).any():
                raise UnavailableError(
                    f"features disappeared from {str(self.path)!r} while they were in use; "
                    "repeat the command to compute them again"
                )
            return gather_rows(self._shards, places)

    def _find(self, contents: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Return the place of each digest, counted through all shards, or -1."""
        if not len(self._sorted):
            return np.full(len(contents), -1, np.int64)
        at = np.searchsorted(self._sorted, contents).clip(max=len(self._sorted) - 1)
        return np.where(self._sorted[at] == contents, self._places[at], -1)

    def _load(self) -> None:
        """Open the shards and index them; the caller holds the lock."""
        remove_unfinished(self.path)
        opened = {shard.path: shard for shard in self._shards}
        files = shard_files(self.path)
        if opened.keys() == set(files):
            return
        shards = [opened.get(path) or _opened_or_quarantined(path) for path in files]
        # A merged shard has the number of its first part and is longer: it comes before it.
        self._shards = sorted(filter(None, shards), key=lambda s: (s.sequence, -len(s)))
        self._index()
        if self._drop_superseded():
            self._index()

    def _index(self) -> None:
        contents = np.concatenate([_NOTHING, *(shard.contents for shard in self._shards)])
        self._places = np.argsort(contents, kind="stable")
        self._sorted = contents[self._places]

    def _drop_superseded(self) -> bool:
        """Delete shards whose vectors are all in earlier ones: a killed merge leaves them."""
        first = np.ones(len(self._sorted), bool)
        first[self._places] = np.r_[True, self._sorted[1:] != self._sorted[:-1]][: len(first)]
        offsets = np.cumsum([0, *map(len, self._shards)])
        kept = [first[offsets[i] : offsets[i + 1]].any() for i in range(len(self._shards))]
        for shard, keep in zip(self._shards, kept, strict=True):
            if not keep:
                with suppress(PermissionError):  # Windows: another process has it mapped
                    shard.path.unlink(missing_ok=True)
        self._shards = [s for s, keep in zip(self._shards, kept, strict=True) if keep]
        return not all(kept)

    def _write_merged(self, shards: list[Shard]) -> None:
        """Write one shard in place of several, each vector once; the caller holds the lock."""
        contents = np.concatenate([shard.contents for shard in shards])
        _, first = np.unique(contents, return_index=True)
        keep = np.zeros(len(contents), bool)
        keep[first] = True
        write_shard(
            self.path,
            shards[0].sequence,
            contents[keep],
            parts=pieces_of(shards, keep),
            row_shape=shards[0].row_shape,
        )
        for shard in shards:
            with suppress(PermissionError):
                shard.path.unlink(missing_ok=True)


def shard_files(path: Path) -> list[Path]:
    """Return the shards' files of a folder, in their order."""
    return sorted(path.glob("[0-9]*-*.safetensors"))


def is_busy(path: Path) -> bool:
    """Tell whether a process embeds a table into a folder."""
    from filelock import FileLock, Timeout

    for claim in (path / "claims").glob("*"):
        lock = FileLock(claim)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
    return False


def quarantine(path: Path) -> Path:
    """Put a damaged shard out of the way and return its new place."""
    target = path.parent / "quarantine" / path.name
    target.parent.mkdir(exist_ok=True)
    return path.replace(target)


_NOTHING = np.empty(0, f"S{CONTENT_BYTES}")


def _sequence(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _opened_or_quarantined(path: Path) -> Shard | None:
    try:
        return open_shard(path)
    except CheckpointError as error:
        _LOG.warning("%s; its features are computed again", error)
        quarantine(path)
        return None


def _first_to_merge(lengths: list[int]) -> int:
    """Return the index of the oldest shard that is to be merged with all newer ones."""
    first, total = len(lengths) - 1, sum(lengths[-1:])
    while first > 0 and lengths[first - 1] <= _MERGE_RATIO * total:
        first -= 1
        total += lengths[first]
    return first
