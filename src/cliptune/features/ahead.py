"""Batches of pixels ahead of who consumes them: read in threads, or in processes where these pay.

Threads of one interpreter take turns at everything but decoding and resizing themselves, which few
cores do not notice and a fast device beside many does. What pays is measured on the way. It knows
nothing about encoders or caches.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.features.device_reading import Begun, DeviceReader
from cliptune.features.reading import Reader, read_into, small_parts
from cliptune.system.allocator import keep_freed_memory
from cliptune.system.processors import usable_cores

if TYPE_CHECKING:
    from cliptune.features.processes import ReadingProcesses

__all__ = ["ReadingThreads", "checked_workers", "images_per_second", "read_ahead"]

_log = logging.getLogger(__name__)

BATCHES_AHEAD = 2
_LEAST_CORES = 4  # for processes; below, threads wait for each other too rarely
_WARM_UP, _TRIAL = 4, 16  # batches
_GAIN = 1.05  # times the images of threads, from which on processes stay
_WORTH = 10.0  # seconds that are left, beside which starting processes takes few

Pixels = NDArray[np.uint8]
Batch = tuple[NDArray[np.int64], Pixels, float]


def checked_workers(batch_size: int, workers: int | None) -> int:
    """Return the number of threads: by default one per core that this process may use.

    Raises:
        InputError: It or the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError(f"batch size {batch_size} came, at least 1 was expected")
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers came, at least 1 was expected")
    return usable_cores() if workers is None else workers


def read_ahead(
    read: Reader,
    rows: NDArray[np.int64],
    *,
    shape: tuple[int, ...],
    batch_size: int,
    workers: int | None,
    device: str = "cpu",
) -> Generator[Batch]:
    """Decode and resize at most two batches ahead of the consumer.

    Threads begin. Where another device than the processors computes, and seconds of work are left,
    as many processes are tried; they stay where batches then come faster. How long pixels are
    waited for does not tell: beside busy threads the consumer waits for the interpreter instead.

    Args:
        read: Gives the pixels of a row; called from several threads, or copied to processes. A
            ``DeviceReader`` stays in threads, and is given whole batches.
        rows: int64, shape (M,): which rows, in which order.
        shape: Of the pixels, (3, H, W).
        batch_size: B.
        workers: Threads or processes; by default one per usable core.
        device: Where the consumer computes.

    Yields:
        Rows (B,), their pixels uint8 (B, 3, H, W), which hold until the next batch is asked for,
        and the seconds waited for them.
    """
    keep_freed_memory()
    count = checked_workers(batch_size, workers)
    pending: deque[tuple[NDArray[np.int64], Callable[[], Pixels]]] = deque()
    with closing(ReadingThreads(read, shape, count)) as threads:
        may_change = device != "cpu" and count >= _LEAST_CORES
        may_change = may_change and not isinstance(read, DeviceReader)
        with closing(_Ways(threads, len(rows) if may_change else 0, batch_size)) as ways:
            for start in range(0, len(rows), batch_size):
                part = rows[start : start + batch_size]
                pending.append((part, ways.begin(part)))
                if len(pending) > BATCHES_AHEAD:
                    yield ways.finish(*pending.popleft())
            while pending:
                yield ways.finish(*pending.popleft())


class ReadingThreads:
    """Reads batches in threads of this process."""

    def __init__(self, read: Reader, shape: tuple[int, ...], count: int) -> None:
        self.read, self.shape, self.count = read, shape, count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="cliptune-decode")
        self._alone = ThreadPoolExecutor(1, thread_name_prefix="cliptune-device")

    def begin(self, rows: NDArray[np.int64]) -> Callable[[], Pixels]:
        """Begin to read rows; the function that comes back waits for their pixels."""
        if isinstance(self.read, DeviceReader):
            return self._begin_together(self.read, rows)
        pixels = np.empty((len(rows), *self.shape), np.uint8)
        tasks = [
            self._pool.submit(read_into, pixels[i : i + len(some)], self.read, some)
            for i, some in small_parts(rows)
        ]

        def finish() -> Pixels:
            for task in tasks:
                task.result()
            return pixels

        return finish

    def _begin_together(self, read: DeviceReader, rows: NDArray[np.int64]) -> Callable[[], Pixels]:
        """Read files in all threads; another one decodes a batch when it has them."""
        tasks = [self._pool.submit(_begin_rows, read, some) for _, some in small_parts(rows)]

        def decode() -> Pixels:
            return read.finish([one for task in tasks for one in task.result()])

        return self._alone.submit(decode).result

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._alone.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True)


def _begin_rows(read: DeviceReader, rows: NDArray[np.int64]) -> list[Begun]:
    return [read.begin(row) for row in rows.tolist()]


def images_per_second(
    way: ReadingThreads | ReadingProcesses, rows: NDArray[np.int64], *, batches: int
) -> float:
    """Read the same rows as so many batches after a first one, and tell how fast they came."""
    pending: deque[Callable[[], Pixels]] = deque()
    start = 0.0
    for number in range(batches + 1):
        pending.append(way.begin(rows))
        if len(pending) > BATCHES_AHEAD or number == 0:
            pending.popleft()()
            start = start or perf_counter()
    while pending:
        pending.popleft()()
    return batches * len(rows) / (perf_counter() - start)


class _Ways:
    """Threads or processes: who reads the next batch, by what was measured.

    Args:
        threads: Who begins.
        n_rows: Images in all; none where only threads are to be.
        batch_size: Of a whole batch.
    """

    def __init__(self, threads: ReadingThreads, n_rows: int, batch_size: int) -> None:
        self._threads, self._left, self._batch_size = threads, n_rows, batch_size
        self._processes: ReadingProcesses | None = None
        self._settled, self._only_threads = n_rows == 0, False
        self._rate = 0.0  # of threads, images a second, once they were measured
        self._forget()

    def _forget(self) -> None:
        self._batches, self._images, self._since = 0, 0, 0.0

    def begin(self, rows: NDArray[np.int64]) -> Callable[[], Pixels]:
        """Begin to read rows where it is fastest by what is known."""
        processes = self._processes
        if processes is None or self._only_threads or not processes.is_ready:
            return self._threads.begin(rows)
        try:
            wait = processes.begin(rows)
        except BrokenExecutor as error:
            return self._begin_without(rows, error)

        def finish() -> Pixels:
            try:
                return wait()
            except BrokenExecutor as error:
                return self._begin_without(rows, error)()

        return finish

    def _begin_without(
        self, rows: NDArray[np.int64], error: BrokenExecutor
    ) -> Callable[[], Pixels]:
        """Read by threads from now on, because a process was killed; nothing is lost."""
        if not self._only_threads:
            _log.warning("a process that read images ended (%s); threads go on", error)
        self._settled = self._only_threads = True
        return self._threads.begin(rows)

    def finish(self, rows: NDArray[np.int64], finish: Callable[[], Pixels]) -> Batch:
        """Wait for a batch."""
        start = perf_counter()
        pixels = finish()
        waited = perf_counter() - start
        if not self._settled:
            self._learn(len(rows))
        return rows, pixels, waited

    def _learn(self, n: int) -> None:
        self._left -= n
        if self._processes is not None and not self._processes.is_ready:
            self._settled = self._only_threads = self._processes.has_failed
            self._forget()
            return
        self._batches += 1
        if self._batches == _WARM_UP:
            self._since = perf_counter()
        elif self._batches > _WARM_UP:
            self._images += n
        if self._batches == _WARM_UP + _TRIAL:
            self._judge(perf_counter() - self._since)

    def _judge(self, seconds: float) -> None:
        rate = self._images / max(seconds, 1e-9)
        if self._processes is not None:
            self._settled = True
            _log.info("processes read %.0f images a second, threads %.0f", rate, self._rate)
            self._only_threads = rate < _GAIN * self._rate
            return
        if self._left < _WORTH * rate:
            self._settled = True
            return
        from cliptune.features.processes import ReadingProcesses

        self._rate = rate
        threads = self._threads
        self._processes = ReadingProcesses.start(
            threads.read, threads.shape, batch_size=self._batch_size, count=threads.count,
            batches=BATCHES_AHEAD + 2,
        )  # fmt: skip
        self._settled = self._processes is None
        self._forget()

    def close(self) -> None:
        """End the processes, if there are any."""
        if self._processes is not None:
            self._processes.close()
