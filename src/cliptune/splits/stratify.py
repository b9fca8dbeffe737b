"""A division of images with several labels that spreads every label over all parts.

It knows labels and groups, and nothing about images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["stratify"]


def stratify(
    truth: NDArray[np.bool_], groups: NDArray[np.int64], shares: Sequence[float], *, seed: int
) -> NDArray[np.int64]:
    """Deal groups of images into parts so that each class is spread by their shares.

    Iterative stratification (Sechidis et al., ECML PKDD 2011, algorithm 1), with whole groups in
    place of images: the class with the fewest images left is dealt first, each of its groups to
    the part that wants that class most, then to the one that wants images most.

    Args:
        truth: bool (N, C).
        groups: int64 (N,): images of one group stay together.
        shares: Of the parts; they sum to 1.
        seed: Of the order among equals.

    Returns:
        int64 (N,): the part of each image.
    """
    rng = np.random.default_rng(seed)
    names, member = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), truth.shape[1]))
    np.add.at(counts, member, truth)
    sizes = np.bincount(member, minlength=len(names)).astype(float)
    wanted = np.outer(shares, truth.sum(axis=0))
    room = np.asarray(shares) * len(truth)
    part = np.full(len(names), -1, dtype=np.int64)
    left = counts.sum(axis=0)

    def give(group: int, label: int | None) -> None:
        order = rng.permutation(len(shares))
        urgency = [] if label is None else [wanted[order, label]]
        # The last key decides first.
        chosen = int(order[np.lexsort((*(-room[order],), *(-u for u in urgency)))[0]])
        part[group] = chosen
        wanted[chosen] -= counts[group]
        room[chosen] -= sizes[group]
        left[:] = left - counts[group]

    while (left > 0).any():
        label = int(np.argmin(np.where(left > 0, left, np.inf)))
        own = np.flatnonzero((part < 0) & (counts[:, label] > 0))
        for group in own[np.argsort(-sizes[own] + rng.random(len(own)), kind="stable")].tolist():
            give(group, label)
    for group in rng.permutation(np.flatnonzero(part < 0)).tolist():
        give(group, None)
    return part[member]
