"""Uncertainty herding: the images that leave least doubt uncovered.

It knows rows and doubts, and nothing about classes or where rows come from.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Herd", "kernel_width"]

_WIDER = 1.5  # than the usual distance between labelled rows; see docs/app.md
_LEAST_WIDTH = 0.05  # of a Gaussian, squared, in rows of a mean squared norm of 1
_COMPARED = 2000  # labelled rows by which the width is found
_AT_ONCE = 2_000_000  # numbers of a block of the kernel


def kernel_width(known: NDArray[np.float32]) -> float:
    """Return the squared width of the Gaussian: 1.5 times the usual distance to the next label.

    It falls as labels come: coverage at first, doubt later. arXiv:2412.20644, section 4.2, takes
    the least distance between two labelled rows, which two near-duplicates make nothing of; here
    it is the median distance of a labelled row to its nearest other one.

    Args:
        known: float32 (K, M), labelled rows, two at least.
    """
    from sklearn.neighbors import NearestNeighbors

    some = known[:: max(1, len(known) // _COMPARED)]
    distances = NearestNeighbors(n_neighbors=1).fit(some).kneighbors()[0]
    return max(float(_WIDER * np.median(distances)) ** 2, _LEAST_WIDTH)


@dataclass(frozen=True)
class Herd:
    """What is to be covered.

    Attributes:
        rows: float32 (U, M), the images that count.
        doubts: float64 (U,), how much each counts.
        width: Of the Gaussian, squared; see ``kernel_width``.
    """

    rows: NDArray[np.float32]
    doubts: NDArray[np.float64]
    width: float

    def covered(self, known: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how near each image is to its nearest labelled one, float32 (U,), 0 to 1.

        Args:
            known: float32 (K, M), labelled rows.
        """
        found = np.zeros(len(self.rows), np.float32)
        for part in _blocks(len(known), len(self.rows)):
            np.maximum(found, self._near(known[part]).max(axis=1), out=found)
        return found

    def choose(
        self, candidates: NDArray[np.float32], known: NDArray[np.float32], n: int
    ) -> list[tuple[int, float]]:
        """Choose rows, each the one that covers most of the doubt that is left.

        Greedy, which is within 1 - 1/e of the best choice since the gains only fall:
        arXiv:2412.20644, equation 4 and algorithm 1; candidates whose gain was lower before than
        another's is now are not looked at again.

        Args:
            candidates: float32 (N, M).
            known: float32 (K, M), labelled rows.
            n: How many are wanted, N at most.

        Returns:
            For each its place among the candidates and the share of images that it newly covers.
        """
        cover = self.covered(known)
        gains = np.empty(len(candidates))
        for part in _blocks(len(candidates), len(self.rows)):
            more = np.maximum(self._near(candidates[part]) - cover[:, None], 0)
            gains[part] = self.doubts @ more
        heap = [(-gain, place) for place, gain in enumerate(gains.tolist())]
        heapq.heapify(heap)
        chosen: list[tuple[int, float]] = []
        while len(chosen) < n and heap:
            _, place = heapq.heappop(heap)
            near = self._near(candidates[place : place + 1])[:, 0]
            more = np.maximum(near - cover, 0)
            gain = float(self.doubts @ more)
            if heap and gain < -heap[0][0]:
                heapq.heappush(heap, (-gain, place))
                continue
            chosen.append((place, float(more.mean())))
            np.maximum(cover, near, out=cover)
        return chosen

    def _near(self, others: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the kernel of the images with other rows, float32 (U, k)."""
        squares = (self.rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
        distances = np.maximum(squares - 2 * self.rows @ others.T, 0)
        near: NDArray[np.float32] = np.exp(distances / np.float32(-2 * self.width))
        return near


def _blocks(n: int, width: int) -> list[slice]:
    size = max(1, _AT_ONCE // max(width, 1))
    return [slice(start, start + size) for start in range(0, n, size)]
