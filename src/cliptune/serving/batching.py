"""Batches: images of many requests go through an encoder together.

It knows queues and threads, and nothing about HTTP or what the rows mean. A batch starts as soon as
the encoder is free: it waits for more images only where some are on their way and a larger batch
costs less an image, at most so long as was said, so that a lone request is not held up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.serving.served import Answer, ServedRun, Tower

__all__ = ["Batcher", "BusyError", "Ticket", "Waiting"]

_LOG = logging.getLogger(__name__)


class BusyError(Exception):
    """There is no room for more images.

    Args:
        retry_after_seconds: When there may be.
    """

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__("the server is at its limit")


@dataclass(eq=False)
class Ticket:
    """An image's place among those under way; ``decoded``: it got into line."""

    decoded: bool = False


@dataclass(eq=False)
class Waiting:
    """An image in line.

    Attributes:
        run: Which answers.
        pixels: uint8 (3, h, w).
        future: Gets the answer to this image, a batch of one.
    """

    run: ServedRun
    pixels: NDArray[np.uint8]
    future: asyncio.Future[Answer]


@dataclass(eq=False)
class _Line:
    """The images before one tower, and those who take batches to it.

    Attributes:
        tower: The newest of those that are alike.
        waiting: Images.
        arrived: There may be some.
        workers: Each takes one batch after the other, of its share of the images.
    """

    tower: Tower
    waiting: deque[Waiting] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    workers: list[asyncio.Task[None]] = field(default_factory=list)


class Batcher:
    """Lines of images before towers, and how many are under way.

    Args:
        cores: Threads of towers that compute on the cores of who calls; others have their own.
        max_wait_seconds: So long a batch waits for images that are on their way.
        max_queue: Images that may be under way.
        on_batch: Told the size of every batch and the seconds that it took.
    """

    def __init__(
        self,
        *,
        cores: ThreadPoolExecutor,
        max_wait_seconds: float,
        max_queue: int,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self._max_wait, self._max_queue = max_wait_seconds, max_queue
        self._on_batch = on_batch
        self._lines: dict[tuple[str, ...], _Line] = {}
        self._cores = cores
        self._elsewhere = ThreadPoolExecutor(1, thread_name_prefix="cliptune-batch")
        self._seconds_per_image = 0.02
        self.under_way = 0
        self._decoding = 0

    def admit(self, count: int) -> list[Ticket]:
        """Take images in; each ticket must ``leave`` once.

        Raises:
            BusyError: There are too many already.
        """
        if self.under_way + count > self._max_queue:
            raise BusyError(self.under_way * self._seconds_per_image)
        self.under_way += count
        self._decoding += count
        return [Ticket() for _ in range(count)]

    def leave(self, ticket: Ticket) -> None:
        """Let an image out, whatever became of it."""
        self.under_way -= 1
        self._decoding -= not ticket.decoded

    async def answer(self, run: ServedRun, pixels: NDArray[np.uint8], ticket: Ticket) -> Answer:
        """Put an image that was admitted into line, and wait for its answer."""
        ticket.decoded = True
        self._decoding -= 1
        line = self._lines.get(run.tower.key)
        if line is None or any(worker.done() for worker in line.workers):
            line = self._lines[run.tower.key] = self._new_line(run.tower)
        line.tower = run.tower
        waiting = Waiting(run, pixels, asyncio.get_running_loop().create_future())
        line.waiting.append(waiting)
        line.arrived.set()
        return await waiting.future

    def _new_line(self, tower: Tower) -> _Line:
        line = _Line(tower)
        line.workers = [asyncio.create_task(self._work(line)) for _ in range(tower.at_once)]
        return line

    async def close(self) -> None:
        """End all lines; nobody may be waiting."""
        for line in self._lines.values():
            _end(line)
        self._elsewhere.shutdown(wait=False)

    def forget(self, keep: set[tuple[str, ...]]) -> None:
        """End lines before towers that no run has any more, once they are empty."""
        for key in [key for key in self._lines if key not in keep]:
            line = self._lines[key]
            if not line.waiting:
                _end(line)
                del self._lines[key]

    async def _work(self, line: _Line) -> None:
        while True:
            while not line.waiting:
                line.arrived.clear()
                await line.arrived.wait()
            await self._gather(line)
            if not line.waiting:  # another worker took them
                continue
            size = line.tower.pace.size_for(-(-len(line.waiting) // len(line.workers)))
            batch = [line.waiting.popleft() for _ in range(size)]
            batch = [one for one in batch if not one.future.done()]  # some may have left
            if batch:
                await self._compute(line.tower, batch)

    async def _gather(self, line: _Line) -> None:
        """Wait for images that are being decoded, as long as a larger batch pays."""
        until = time.monotonic() + self._max_wait
        while len(line.waiting) < line.tower.pace.worth_waiting_for and self._decoding > 0:
            left = until - time.monotonic()
            if left <= 0:
                return
            line.arrived.clear()
            try:
                await asyncio.wait_for(line.arrived.wait(), left)
            except TimeoutError:
                return

    async def _compute(self, tower: Tower, batch: list[Waiting]) -> None:
        loop, start = asyncio.get_running_loop(), time.perf_counter()
        try:
            pool = self._cores if tower.on_cores else self._elsewhere
            answers = await loop.run_in_executor(pool, _answer_batch, tower, batch)
        except Exception as error:  # noqa: BLE001  whoever waits must hear of any fault
            _LOG.exception("a batch of %d images failed", len(batch))
            for one in batch:
                if not one.future.done():
                    one.future.set_exception(error)
            return
        seconds = time.perf_counter() - start
        self._seconds_per_image += 0.1 * (seconds / len(batch) - self._seconds_per_image)
        tower.pace.note(len(batch), seconds)
        self._on_batch(len(batch), seconds)
        for one, answer in zip(batch, answers, strict=True):
            if not one.future.done():
                one.future.set_result(answer)


def _end(line: _Line) -> None:
    for worker in line.workers:
        worker.cancel()


def _answer_batch(tower: Tower, batch: list[Waiting]) -> list[Answer]:
    """Run a tower once, and each run's head on its own rows."""
    rows = tower.run(np.stack([one.pixels for one in batch]))
    answers: list[Answer | None] = [None] * len(batch)
    for run in {id(one.run): one.run for one in batch}.values():
        places = [place for place, one in enumerate(batch) if one.run is run]
        said = run.answer(_take(rows, places))
        for number, place in enumerate(places):
            part = slice(number, number + 1)
            answers[place] = Answer(said.probabilities[part], said.embeddings[part])
    return [answer for answer in answers if answer is not None]


def _take(rows: Any, places: list[int]) -> Any:  # Any: an array, or arrays by name
    if isinstance(rows, dict):
        return {name: array[places] for name, array in rows.items()}
    return rows[places]
