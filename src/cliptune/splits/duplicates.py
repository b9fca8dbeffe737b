"""Near-duplicates: pairs and groups of images whose embeddings almost coincide.

It sees unit vectors and nothing else; what to do about duplicates is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.system.blas import one_blas_thread
from cliptune.system.processors import usable_cores

__all__ = [
    "DEFAULT_SIMILARITY",
    "DuplicatePairs",
    "find_duplicates",
    "group_duplicates",
    "join_groups",
]

# Cosine after subtracting the mean image: plain cosines flatter, because the embeddings of any
# model share a large common direction.
DEFAULT_SIMILARITY = 0.97
# Cosines of one block fit into a processor's cache, where comparing them costs little.
_BLOCK = 512
# Far fewer numbers a row than an embedding has bound its cosines well enough to pass most pairs by.
_LEADING = 63
_SAMPLE = 4096  # rows, which say where the numbers that vary most are
_ROUNDING = 1e-5  # of float32, in the bounds
_MOST_CANDIDATES = _BLOCK**2 // 64  # of a block: one product is quicker than so many pairs
# Pairs grow with the square of how often one picture comes; nobody reads more than a few of them.
_MOST_PAIRS_A_ROW = 20

_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], int]
_T = TypeVar("_T")
_Near = tuple[int, int, NDArray[np.float32]]


@dataclass(frozen=True)
class DuplicatePairs:
    """Pairs of rows that look alike.

    Attributes:
        first: int64 (P,), row in the first set, ascending.
        second: int64 (P,), row in the second set; above ``first`` when both are one set. No row
            comes here more than 20 times, with the partners that stand first.
        similarity: float32 (P,), mean-centred cosine.
        n_all: How many pairs there are, those that are not listed included.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]
    n_all: int = 0

    def __len__(self) -> int:
        return len(self.first)


def find_duplicates(
    first: NDArray[np.float32],
    second: NDArray[np.float32] | None = None,
    *,
    similarity: float = DEFAULT_SIMILARITY,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DuplicatePairs:
    """Find the pairs above a similarity, exactly, by blocks of matrix products.

    Time grows with N times M, memory with N plus M: see ``DuplicatePairs.second``.

    Args:
        first: float32 (N, D), rows of norm 1.
        second: float32 (M, D), or nothing: pairs within ``first``.
        similarity: Smallest mean-centred cosine of a pair.
        progress: Called with rows done and rows in all.
    """
    kept = np.zeros(len(first if second is None else second), np.int64)

    def take(near: _Near) -> _Found:
        top, left, cosines = near
        is_pair = cosines >= similarity
        own = kept[left : left + cosines.shape[1]]  # columns of one block are nobody else's
        wanted = is_pair & (is_pair.cumsum(axis=0) + own <= _MOST_PAIRS_A_ROW)
        own += wanted.sum(axis=0)
        i, j = np.nonzero(wanted)
        return i + top, j + left, cosines[i, j], int(is_pair.sum())

    empty = np.zeros(0, np.int64)
    found: list[_Found] = [(empty, empty, np.zeros(0, np.float32), 0)]
    for some in _visit_blocks(first, second, similarity, take, progress):
        found += some
    *columns, counts = zip(*found, strict=True)
    i, j, cosines = (np.concatenate(part) for part in columns)
    order = np.lexsort((j, i))
    return DuplicatePairs(i[order], j[order], cosines[order], sum(counts))


def group_duplicates(
    rows: NDArray[np.float32], *, similarity: float = DEFAULT_SIMILARITY
) -> NDArray[np.int64]:
    """Number the groups that near-duplicates connect; a row without one is a group of its own.

    Memory grows with N, however many pairs there are: of each block only what connects is kept.

    Args:
        rows: float32 (N, D), of norm 1.
        similarity: Smallest mean-centred cosine of a pair.

    Returns:
        int64 (N,), a group number for each row.
    """

    def connect(near: _Near) -> NDArray[np.int64]:
        top, left, cosines = near
        n_rows, n_columns = cosines.shape
        i, j = np.nonzero(cosines >= similarity)
        groups = _components(i, j + n_rows, n_rows + n_columns)
        first_of_group = np.unique(groups, return_index=True)[1]
        nodes = np.concatenate([np.arange(n_rows) + top, np.arange(n_columns) + left])
        return np.stack([nodes, nodes[first_of_group[groups]]])

    groups = np.arange(len(rows), dtype=np.int64)
    for links in _visit_blocks(rows, None, similarity, connect, lambda done, total: None):
        if links:
            one, other = groups[np.concatenate(links, axis=1)]
            groups = _components(one, other, len(rows))[groups]
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def join_groups(groups: NDArray[np.int64], names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Join groups whose rows bear the same name, such as the images of one patient.

    Args:
        groups: int64 (N,), the group of each row.
        names: str (N,); rows with an empty one are joined with none.

    Returns:
        int64 (N,), a group number for each row.
    """
    named = np.flatnonzero(names != "")
    _, of_name = np.unique(names[named], return_inverse=True)
    n = int(groups.max()) + 1 if len(groups) else 0
    n_names = int(of_name.max()) + 1 if len(named) else 0
    joined = _components(groups[named], of_name + n, n + n_names)[groups]
    return np.unique(joined, return_inverse=True)[1].astype(np.int64)


def _components(one: NDArray[np.int64], other: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(n, n))
    _, groups = connected_components(links, directed=False)
    return np.asarray(groups, dtype=np.int64)


def _visit_blocks(
    first: NDArray[np.float32],
    second: NDArray[np.float32] | None,
    similarity: float,
    visit: Callable[[_Near], _T],
    progress: Callable[[int, int], None],
) -> Iterator[list[_T]]:
    """Call ``visit`` with the cosines of each block that holds a pair, strip by strip."""
    mean = (first if second is None else np.concatenate([first, second])).mean(axis=0)
    rows = _unit(first - mean)
    columns = rows if second is None else _unit(second - mean)
    bounds = _Bounds.of(rows, columns)

    def search(corner: tuple[int, int]) -> _T | None:
        top, left = corner
        is_diagonal = second is None and left == top
        block = rows[top : top + _BLOCK], columns[left : left + _BLOCK]
        if bounds is None:
            cosines = block[0] @ block[1].T
        else:
            i, j = bounds.candidates(top, left, similarity, is_diagonal=is_diagonal)
            if not len(i):
                return None
            cosines = _cosines_of(*block, i, j)
        if is_diagonal:
            cosines[np.tril_indices(len(cosines))] = -1  # each pair once, no row with itself
        return visit((top, left, cosines)) if cosines.max() >= similarity else None

    # A block a core: products of this size on all cores wait for the slowest of them.
    with one_blas_thread(), ThreadPoolExecutor(usable_cores()) as pool:
        for top in range(0, len(rows), _BLOCK):
            lefts = range(top if second is None else 0, len(columns), _BLOCK)
            corners = [(top, left) for left in lefts]
            yield [some for some in pool.map(search, corners) if some is not None]
            progress(min(top + _BLOCK, len(rows)), len(rows))


@dataclass(frozen=True)
class _Bounds:
    """What no cosine can exceed, from few numbers a row.

    On an orthonormal basis the coordinates p and q of two unit rows, and the lengths r and s of
    what lies beside it, give p . q + r s >= cosine (Cauchy and Schwarz).

    Attributes:
        rows: float32 (N, K + 1), coordinates and length.
        columns: float32 (M, K + 1).
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> _Bounds | None:
        """Look where rows vary most; None where there are too few rows or numbers to gain by it."""
        if len(rows) < 2 * _BLOCK or len(columns) < 2 * _BLOCK or rows.shape[1] < 2 * _LEADING:
            return None
        sample = columns[:: -(-len(columns) // _SAMPLE)]
        basis = np.random.default_rng(0).standard_normal((rows.shape[1], _LEADING))
        for _ in range(2):
            basis = np.linalg.qr(sample.T @ (sample @ basis.astype(np.float32)))[0]
        leading = _leading(rows, basis.astype(np.float32))
        same = columns is rows
        return cls(leading, leading if same else _leading(columns, basis.astype(np.float32)))

    def candidates(
        self, top: int, left: int, similarity: float, *, is_diagonal: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places in a block whose cosine may reach a similarity."""
        bound = self.rows[top : top + _BLOCK] @ self.columns[left : left + _BLOCK].T
        if is_diagonal:
            bound[np.tril_indices(len(bound))] = -1
        least = similarity - _ROUNDING
        if bound.max() < least:
            return _NONE, _NONE
        i, j = np.nonzero(bound >= least)
        return i, j


_NONE = np.zeros(0, np.int64)


def _leading(rows: NDArray[np.float32], basis: NDArray[np.float32]) -> NDArray[np.float32]:
    inside = rows @ basis
    beside = np.maximum(1 - np.einsum("ij,ij->i", inside, inside), 0) + _ROUNDING
    return np.column_stack([inside, np.sqrt(beside)]).astype(np.float32, copy=False)


def _cosines_of(
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    i: NDArray[np.int64],
    j: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the cosines of some places of a block; the others are -1, or theirs too."""
    if len(i) > _MOST_CANDIDATES:
        return np.asarray(rows @ columns.T)
    cosines = np.full((len(rows), len(columns)), -1, np.float32)
    cosines[i, j] = np.einsum("ij,ij->i", rows[i], columns[j])
    return cosines


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit
