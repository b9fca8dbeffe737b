"""How long a tower takes for batches of each size, and which size therefore suits it.

It knows sizes and seconds, and nothing about towers, lines or images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

__all__ = ["Pace"]

# What smaller batches may cost an image, as a multiple of the cheapest size: with images that wait
# already, whose first go sooner then; and before anybody waits for images that are on their way.
_AS_GOOD, _WORTH_NO_WAIT = 1.05, 1.5
_NEWEST = 0.2  # how much the last batch counts
_SECONDS_TO_MEASURE = 1.0
_TIMES, _SECONDS_OF_A_QUICK_BATCH = 3, 0.05


class Pace:
    """Seconds an image, by size of batch.

    Sizes are powers of two, and the largest allowed: graphs are set up anew for every other size,
    which takes as long as several batches.

    Args:
        max_batch: The largest size.
    """

    def __init__(self, max_batch: int) -> None:
        powers = (1 << n for n in range(max_batch.bit_length()))
        self._sizes = sorted({*(size for size in powers if size < max_batch), max_batch})
        self._seconds: dict[int, float] = {}

    def measure(self, run: Callable[[int], object]) -> None:
        """Let a tower run batches of each size, one to set it up, and keep the least time.

        Other work on the machine makes a batch slower and never faster, so quick ones are timed
        three times. Sizes beyond the first that costs no less an image are not used at all: they
        take memory and gain nothing. A slow tower is not measured at sizes that would take longer
        than a second altogether; these are tried when so many images wait.

        Args:
            run: Runs a batch of the size that it is given.
        """
        begin, cheapest = time.perf_counter(), math.inf
        for size in self._sizes:
            run(size)
            self._seconds[size] = _least_seconds(partial(run, size)) / size
            if self._seconds[size] * _AS_GOOD > cheapest:
                self._sizes = [one for one in self._sizes if one <= size]
                return
            cheapest = self._seconds[size]
            spent = time.perf_counter() - begin
            if spent > _SECONDS_TO_MEASURE / 2:  # the next size takes as long as all before
                return

    def note(self, size: int, seconds: float) -> None:
        """Take in what a batch took."""
        known = self._seconds.get(size, seconds / size)
        self._seconds[size] = known + _NEWEST * (seconds / size - known)

    @property
    def worth_waiting_for(self) -> int:
        """The smallest size beyond which waiting for more images gains little."""
        return self._smallest(self._sizes[-1], _WORTH_NO_WAIT)

    def size_for(self, waiting: int) -> int:
        """Return how many of the images that wait, one or more, go next."""
        largest = max(size for size in self._sizes if size <= waiting)
        if largest not in self._seconds:  # to learn what it takes
            return largest
        return self._smallest(largest, _AS_GOOD)

    def _smallest(self, largest: int, as_good: float) -> int:
        """Return the smallest size whose images cost about as little as at any up to ``largest``.

        One where nothing is known.
        """
        known = {size: cost for size, cost in sorted(self._seconds.items()) if size <= largest}
        limit = as_good * min(known.values(), default=0.0)
        return next((size for size, cost in known.items() if cost <= limit), 1)


def _least_seconds(run: Callable[[], object]) -> float:
    """Return the least time of a few runs, of one where it is slow."""
    least = math.inf
    for _ in range(_TIMES):
        start = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - start)
        if least > _SECONDS_OF_A_QUICK_BATCH:
            break
    return least
