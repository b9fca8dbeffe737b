"""Processes that read images into memory that they share with the one that asked.

They are started like any program, so that a script which called for embeddings needs no guard
around its main part. It knows nothing about when they pay.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage

import numpy as np
from joblib.externals.loky import ProcessPoolExecutor
from numpy.typing import NDArray

from cliptune.features.reading import Reader, RowReader, read_into, small_parts
from cliptune.system.parent import end_with_parent

__all__ = ["ReadingProcesses"]

_log = logging.getLogger(__name__)

_MOST_BYTES = 64 << 20  # of a reader, which every process has: images in memory are not copied
_MANY = 10_000  # images that a process is to read; what pays for many is loaded
_SHARED = Path("/dev/shm")

Pixels = NDArray[np.uint8]


class ReadingProcesses:
    """A pool of processes and the batches that it writes to.

    Args:
        executor: The processes.
        count: How many.
        slots: uint8 (S, B, 3, H, W), shared.
        path: The file behind it.
    """

    def __init__(
        self,
        executor: ProcessPoolExecutor,
        count: int,
        slots: Pixels,
        path: Path,
    ) -> None:
        self._executor, self._count, self._slots, self._path = executor, count, slots, path
        self._there: set[int] = set()  # processes that can read
        self._asked = self._ask()
        self._has_failed = False
        self._free = list(range(len(slots)))
        self._lent: int | None = None

    @classmethod
    def start(
        cls, read: Reader, shape: tuple[int, ...], *, batch_size: int, count: int, batches: int
    ) -> ReadingProcesses | None:
        """Start processes, without waiting for them.

        Args:
            read: Gives the pixels of a row.
            shape: Of these, (3, H, W).
            batch_size: B.
            count: Processes.
            batches: Batches at once, the one that was handed out last included.

        Returns:
            None where the reader cannot be copied to them, there is no room, or this process may
            not start any.
        """
        try:
            data = pickle.dumps(read)
        except (pickle.PicklingError, TypeError, AttributeError, ValueError):
            return None
        shared = (batches, batch_size, *shape)
        n_bytes = int(np.prod(shared))
        places = (_SHARED, Path(tempfile.gettempdir()))
        folder = next((place for place in places if _fits(n_bytes, place)), None)
        if folder is None or len(data) > _MOST_BYTES:
            return None
        handle, name = tempfile.mkstemp(prefix="cliptune-pixels-", dir=folder)
        os.close(handle)
        slots = np.memmap(name, np.uint8, "w+", shape=shared)
        try:
            executor = ProcessPoolExecutor(
                count,
                timeout=None,
                initializer=_begin,
                initargs=(data, name, shared, os.getpid()),
                env={"OMP_NUM_THREADS": "1"},
            )
            return cls(executor, count, slots, Path(name))
        except (OSError, RuntimeError, AssertionError) as error:  # daemons may not, for example
            _log.info("processes that read images cannot be started (%s)", error)
            Path(name).unlink(missing_ok=True)
            return None

    def _ask(self) -> list[Future[int]]:
        """Ask who is there; one process may answer for another that is still starting."""
        return [self._executor.submit(_answer) for _ in range(self._count)]

    def wait(self) -> bool:
        """Wait until all processes can read; tell whether they can."""
        while not self.is_ready and not self._has_failed:
            wait(self._asked)
        return not self._has_failed

    @property
    def is_ready(self) -> bool:
        """Whether all processes can read; where one answered for another, they are asked again."""
        if len(self._there) < self._count and all(task.done() for task in self._asked):
            try:
                self._there |= {task.result() for task in self._asked}
                if len(self._there) < self._count:
                    self._asked = self._ask()
            except Exception as error:  # noqa: BLE001  what a process could not be started for
                _log.info("a process that reads images could not be started (%s)", error)
                self._has_failed = True
        return len(self._there) == self._count and not self._has_failed

    @property
    def has_failed(self) -> bool:
        """Whether one could not be started."""
        return self._has_failed

    def begin(self, rows: NDArray[np.int64]) -> Callable[[], Pixels]:
        """Begin to read rows; the function that comes back waits for their pixels.

        Its pixels hold until the next batch is waited for.

        Raises:
            BrokenExecutor: A process was killed.
        """
        self._unlink()  # all have it open: nothing is left, even if this process is killed
        slot = self._free.pop()
        futures = [
            self._executor.submit(_read, slot, start, some) for start, some in small_parts(rows)
        ]

        def finish() -> Pixels:
            if self._lent is not None:
                self._free.append(self._lent)
            self._lent = slot
            for future in futures:
                future.result()
            return self._slots[slot, : len(rows)]

        return finish

    def close(self) -> None:
        """End the processes and give the memory back."""
        self._executor.shutdown(wait=True, kill_workers=True)
        self._unlink()

    def _unlink(self) -> None:
        with suppress(OSError):  # where open files cannot be removed, or it is gone
            self._path.unlink()


def _fits(n_bytes: int, folder: Path) -> bool:
    try:
        return folder.is_dir() and disk_usage(folder).free > 2 * n_bytes
    except OSError:
        return False


class _Process:
    """What a process has to read with."""

    read: Reader
    slots: Pixels


def _begin(data: bytes, name: str, shape: tuple[int, ...], parent: int) -> None:
    end_with_parent(parent)
    read = pickle.loads(data)
    if isinstance(read, RowReader):
        read.preprocess.expect(_MANY)
    _Process.read = read
    _Process.slots = np.memmap(name, np.uint8, "r+", shape=shape)


def _answer() -> int:
    """Say who this is, and take long enough that others answer too."""
    import time

    time.sleep(0.05)
    return os.getpid()


def _read(slot: int, start: int, rows: NDArray[np.int64]) -> None:
    read_into(_Process.slots[slot, start : start + len(rows)], _Process.read, rows)
