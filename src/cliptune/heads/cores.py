"""Independent pieces of work on the cores that torch uses: one piece a core at a time.

Many small operations are faster that way than each operation over all cores. It knows nothing
about what the pieces do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import torch

__all__ = ["Cores", "even_slices"]

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")


class Cores:
    """Maps over pieces of work; with fewer pieces than cores, each piece gets all cores in turn.

    Inside, torch works with one thread a piece; its setting comes back at the end.

    Args:
        n_pieces: How many come at a time.
    """

    def __init__(self, n_pieces: int) -> None:
        self._threads = torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None
        if n_pieces >= self._threads > 1:
            self._pool = ThreadPoolExecutor(
                self._threads, "head", initializer=torch.set_num_threads, initargs=(1,)
            )

    def map(self, work: Callable[[_Piece], _Result], pieces: Sequence[_Piece]) -> list[_Result]:
        """Return the results in the pieces' order; the first exception is raised."""
        found: Iterable[_Result] = map(work, pieces)
        if self._pool is not None and len(pieces) > 1:
            found = self._pool.map(work, pieces)
        return list(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self._threads)


def even_slices(n: int, at_once: int | None) -> list[slice]:
    """Cut ``range(n)`` into slices of about equal length, at most ``at_once`` (None: one).

    More than one slice are as many as keep all cores at work until the end, where ``n`` allows.
    """
    n_slices = 1 if at_once is None else math.ceil(n / at_once)
    if n_slices > 1:
        cores = torch.get_num_threads()
        n_slices = min(n, cores * math.ceil(n_slices / cores))
    edges = [round(i * n / n_slices) for i in range(n_slices + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]
