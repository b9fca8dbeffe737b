"""Folds of repeated cross-validation: which images are left out together.

Own code instead of scikit-learn's splitters: they refuse a class with fewer images than folds,
or take minutes to keep groups together. It sees labels and groups, never images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Folds", "plan_folds"]

_SMALL = 300  # images, up to which ten folds are affordable and lose little of what can be learned
_ANSWERS = 600  # how many held-out answers repeats are made for, where there are fewer images
_MOST_REPEATS = 6
_ONE_CUT = 12_000  # images, above which a single fold tells the accuracy to half a point


@dataclass(frozen=True)
class Folds:
    """Which of n images are left out, fold by fold, repeat after repeat.

    Attributes:
        held: For each fold int64 positions among the n; within a repeat no position comes twice.
        n: Images that are divided.
        n_folds: Folds in a repeat; 1 where a single cut of many images is enough.
        n_repeats: How often they are divided anew.
    """

    held: tuple[NDArray[np.int64], ...]
    n: int
    n_folds: int
    n_repeats: int

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Positions of all held-out answers in their order, int64 (H,)."""
        return np.concatenate([np.empty(0, np.int64), *self.held])

    @cached_property
    def fold_of(self) -> NDArray[np.int64]:
        """Number of the fold of each answer, int64 (H,)."""
        return np.repeat(np.arange(len(self.held)), [len(rows) for rows in self.held])

    @property
    def never_held(self) -> NDArray[np.int64]:
        """Positions that are learned from in every fold, int64, sorted."""
        return np.setdiff1d(np.arange(self.n), self.rows)

    def learned(self, fold: int) -> NDArray[np.int64]:
        """Return the positions that are learned from while a fold is left out, sorted."""
        kept = np.ones(self.n, bool)
        kept[self.held[fold]] = False
        return np.flatnonzero(kept)

    def splits(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], slice]]:
        """Give for each fold what is learned from, what is held, and where its answers go."""
        start = 0
        for number, held in enumerate(self.held):
            yield self.learned(number), held, slice(start, start + len(held))
            start += len(held)

    def first_repeat(self) -> Folds:
        """Return the folds of the first repeat alone."""
        return Folds(self.held[: self.n_folds], self.n, self.n_folds, 1)

    def __str__(self) -> str:
        """Say it in one clause."""
        if self.n_folds == 1:
            return f"one cut of {len(self.rows)} images"
        times = f", repeated {self.n_repeats} times" if self.n_repeats > 1 else ""
        return f"{self.n_folds} folds of {self.n} images{times}"


def plan_folds(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    n_classes: int,
    seed: int,
    cut: float | None = None,
) -> Folds:
    """Divide labelled images: stratified, groups on one side, more often where there are few.

    Up to 300 images ten folds, above five, repeated until there are about 600 answers, six times
    at most; above 12,000 images one cut of a fifth. A class can have fewer images than there are
    folds. An image whose class would be gone without it is never left out.

    Args:
        labels: int64 (n,), 0..C-1.
        groups: int64 (n,); images of one group, such as near-duplicates, are left out together.
        n_classes: C.
        seed: Of the division.
        cut: Hold out one such share of the images instead, as nearly as a whole number of equal
            parts allows.
    """
    n = len(labels)
    n_folds = 10 if n <= _SMALL else 5
    if cut is not None:
        n_folds = round(1 / cut)
    n_folds = max(2, min(n_folds, len(np.unique(groups))))
    n_repeats = min(_MOST_REPEATS, max(1, -(-_ANSWERS // n)))
    single = n > _ONE_CUT or cut is not None
    held: list[NDArray[np.int64]] = []
    for repeat in range(1 if single else n_repeats):
        rng = np.random.default_rng([seed, repeat, 17])
        fold_of = _deal(labels, groups, n_folds, n_classes, rng)
        folds = [np.flatnonzero(fold_of == fold) for fold in range(1 if single else n_folds)]
        held += [_spare_whole_classes(rows, labels, groups, n_classes) for rows in folds]
    return Folds(tuple(held), n, 1 if single else n_folds, 1 if single else n_repeats)


def _deal(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    n_folds: int,
    n_classes: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return each image's fold: a group goes where its class, then all images, are fewest."""
    order = rng.permutation(len(labels))
    _, group_of = np.unique(groups, return_inverse=True)
    members: dict[int, list[int]] = {}
    for row in order.tolist():
        members.setdefault(int(group_of[row]), []).append(row)
    counts = np.zeros((n_classes, n_folds))
    sizes = np.zeros(n_folds)
    ties = rng.permutation(n_folds) * 1e-6
    fold_of = np.empty(len(labels), np.int64)
    for rows in sorted(members.values(), key=len, reverse=True):
        label = int(labels[rows[0]] if len(rows) == 1 else np.bincount(labels[rows]).argmax())
        fold = int((counts[label] * 1e3 + sizes * 1e-3 + ties).argmin())
        fold_of[rows] = fold
        np.add.at(counts[:, fold], labels[rows], 1)
        sizes[fold] += len(rows)
    return fold_of


def _spare_whole_classes(
    held: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    n_classes: int,
) -> NDArray[np.int64]:
    """Take out of a fold the groups that hold all images of a class."""
    counts = np.bincount(labels, minlength=n_classes)
    gone = np.bincount(labels[held], minlength=n_classes) == counts
    if not gone[counts > 0].any():
        return held
    kept = set(groups[held[gone[labels[held]]]].tolist())
    return held[[group not in kept for group in groups[held].tolist()]]
