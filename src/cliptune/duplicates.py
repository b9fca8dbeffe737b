"""Near-duplicates: pairs and groups of images whose embeddings almost coincide.

It sees unit vectors and nothing else; what to do about duplicates is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.processors import usable_cores

__all__ = ["DEFAULT_SIMILARITY", "DuplicatePairs", "find_duplicates", "group_duplicates"]

# Cosine after subtracting the mean image: plain cosines flatter, because the embeddings of any
# model share a large common direction.
DEFAULT_SIMILARITY = 0.97
# Cosines of one block fit into a processor's cache, where comparing them costs little.
_BLOCK = 512

_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class DuplicatePairs:
    """Pairs of rows that look alike.

    Attributes:
        first: int64 (P,), row in the first set, ascending.
        second: int64 (P,), row in the second set; above ``first`` when both are one set.
        similarity: float32 (P,), mean-centred cosine.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)


def find_duplicates(
    first: NDArray[np.float32],
    second: NDArray[np.float32] | None = None,
    *,
    similarity: float = DEFAULT_SIMILARITY,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DuplicatePairs:
    """Find every pair above a similarity, exactly, by blocks of matrix products.

    Time grows with N times M, memory stays at one block.

    Args:
        first: float32 (N, D), rows of norm 1.
        second: float32 (M, D), or nothing: pairs within ``first``.
        similarity: Smallest mean-centred cosine of a pair.
        progress: Called with rows done and rows in all.
    """
    from threadpoolctl import threadpool_limits

    mean = (first if second is None else np.concatenate([first, second])).mean(axis=0)
    rows = _unit(first - mean)
    columns = rows if second is None else _unit(second - mean)

    def search(corner: tuple[int, int]) -> _Found:
        top, left = corner
        block = rows[top : top + _BLOCK]
        cosines = block @ columns[left : left + _BLOCK].T
        if second is None and left == top:
            cosines[np.tril_indices(len(block))] = -1  # each pair once, and no row with itself
        near = np.flatnonzero(cosines.max(axis=1) >= similarity)  # few: then look closer
        i, j = np.nonzero(cosines[near] >= similarity)
        return near[i] + top, j + left, cosines[near[i], j]

    empty = np.zeros(0, np.int64)
    found: list[_Found] = [(empty, empty, np.zeros(0, np.float32))]
    # A block a core: products of this size on all cores wait for the slowest of them.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as pool:
        for top in range(0, len(rows), _BLOCK):
            lefts = range(top if second is None else 0, len(columns), _BLOCK)
            corners = [(top, left) for left in lefts]
            found += [some for some in pool.map(search, corners) if len(some[0])]
            progress(min(top + _BLOCK, len(rows)), len(rows))
    pairs = [np.concatenate(part) for part in zip(*found, strict=True)]
    order = np.lexsort((pairs[1], pairs[0]))
    return DuplicatePairs(*(part[order] for part in pairs))


def group_duplicates(pairs: DuplicatePairs, n: int) -> NDArray[np.int64]:
    """Number the connected groups of N rows; a row without a duplicate is a group of its own.

    Returns:
        int64 (N,), a group number for each row.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs.first, pairs.second)), shape=(n, n))
    _, groups = connected_components(links, directed=False)
    return np.asarray(groups, dtype=np.int64)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit
