"""How images are chosen that are worth a label: typical ones of clusters first, then doubtful ones.

It knows pools, and nothing about why anybody asks.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cliptune.active.herding import Herd, kernel_width
from cliptune.active.pool import LabelPool

__all__ = ["Pick", "choose_centroids", "choose_doubtful", "choose_images"]

_FIRST = 25  # labels before a head says more than clusters; see docs/app.md
_FIRST_WIDTH = 0.25  # of the kernel, squared, where there are not two labels
_COVERED = 8000  # images whose doubt is looked at, at most
_NEIGHBOURS = 20  # that say how typical an image is, as in the paper
_MOST_CLUSTERS = 500
_CLUSTERED = 20_000  # images that are clustered at most; of more, a sample is


@dataclass(frozen=True)
class Pick:
    """An image that is worth a label.

    Attributes:
        row: Which of the pool.
        why: ``centroid``: it is typical of a cluster that has no label; ``doubt``: the answers
            for it and for those around it are close.
        stands_for: Share of the pool that lies in its cluster, or that it newly covers.
        doubt: How probable it is that the present answer for it is wrong.
    """

    row: int
    why: str
    stands_for: float
    doubt: float


def choose_images(pool: LabelPool, n: int) -> list[Pick]:
    """Choose the next images to label.

    The first 25 labels, and all while fewer than two classes have a name, go to typical images of
    clusters without a label; the others to doubtful images that differ from each other.

    Args:
        pool: N images.
        n: How many are wanted; fewer come where fewer are open.
    """
    n = min(n, int(pool.open.sum()))
    if n < 1:
        return []
    unnamed = pool.probabilities.shape[1] < 2
    n_first = n if unnamed else min(n, max(0, _FIRST - int((pool.labels >= 0).sum())))
    picks = choose_centroids(pool, n_first) if n_first else []
    if n_first < n:
        rest = pool.open.copy()
        rest[[pick.row for pick in picks]] = False
        picks += choose_doubtful(replace(pool, open=rest), n - n_first)
    return picks


def choose_centroids(pool: LabelPool, n: int) -> list[Pick]:
    """Choose the most typical image of each of the largest clusters that have no label.

    TypiClust, arXiv:2202.02794, section 3: as many clusters as there will be labels, 500 at most;
    from those with the fewest labels, the largest first, the image whose 20 nearest in the
    cluster are nearest. Frozen features make it strong from the first label on
    (arXiv:2401.14555).
    """
    rows = _sample(pool)
    spread = pool.spread[rows]
    n_known = int((pool.labels >= 0).sum())
    own = _cluster(spread, min(n_known + n, _MOST_CLUSTERS, len(rows)), pool.seed)
    sizes = np.bincount(own)
    taken = np.bincount(own[pool.labels[rows] >= 0], minlength=len(sizes))
    is_open = pool.open[rows].copy()
    picks: list[Pick] = []
    while len(picks) < n and is_open.any():
        for cluster in np.lexsort((-sizes, taken)):
            members = np.flatnonzero((own == cluster) & is_open)
            if not len(members) or len(picks) == n:
                continue
            best = members[_typicality(spread[members]).argmax()]
            is_open[best] = False
            taken[cluster] += 1
            row = int(rows[best])
            picks.append(_pick(pool, row, "centroid", sizes[cluster] / len(rows)))
    return picks


def choose_doubtful(pool: LabelPool, n: int) -> list[Pick]:
    """Choose images whose answer is in doubt, and those around them too.

    Uncertainty herding, arXiv:2412.20644: what is covered is the doubt of all images (1 minus the
    margin between the two most probable classes), each as far as a labelled image is near.
    """
    rows = _sample(pool)
    places = rows[pool.open[rows]]
    known = pool.spread[np.flatnonzero(pool.labels >= 0)]
    seen = rows[:: -(-len(rows) // _COVERED)]
    herd = Herd(
        rows=pool.spread[seen],
        doubts=1 - pool.margins[seen],
        width=kernel_width(known) if len(known) > 1 else _FIRST_WIDTH,
    )
    return [
        _pick(pool, int(places[place]), "doubt", share)
        for place, share in herd.choose(pool.spread[places], known, n)
    ]


def _pick(pool: LabelPool, row: int, why: str, share: float) -> Pick:
    return Pick(row, why, float(share), float(1 - pool.probabilities[row].max()))


def _sample(pool: LabelPool) -> NDArray[np.int64]:
    n = len(pool.labels)
    if n <= _CLUSTERED:
        return np.arange(n)
    known = np.flatnonzero(pool.labels >= 0)
    others = np.flatnonzero(pool.labels < 0)
    rng = np.random.default_rng(pool.seed)
    drawn = rng.choice(others, min(len(others), _CLUSTERED), replace=False)
    return np.sort(np.concatenate([known, drawn]))


def _cluster(spread: NDArray[np.float32], n: int, seed: int) -> NDArray[np.int64]:
    """Number the clusters of rows by k-means; int64, one a row, without gaps."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    means = KMeans(n, n_init=1, max_iter=20, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal rows make fewer clusters
        labels = means.fit(spread).labels_
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _typicality(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the inverse mean distance of each row to its nearest neighbours among the rows."""
    from sklearn.neighbors import NearestNeighbors

    k = min(_NEIGHBOURS, len(rows) - 1)
    if k < 1:
        return np.ones(len(rows))
    distances = NearestNeighbors(n_neighbors=k).fit(rows).kneighbors()[0]
    typicality: NDArray[np.float64] = 1 / (distances.mean(axis=1) + 1e-9)
    return typicality
