"""Nearest neighbours in cross-validation: a fold leaves out images that would vote.

Nothing is fitted; all counts of neighbours are answered from one sorting.
"""

from __future__ import annotations

import numpy as np

from cliptune.heads.knn import COUNTS, vote
from cliptune.selection.candidates import Setting, best_setting
from cliptune.selection.shortcuts import Given, Shortcut

__all__ = ["SHORTCUT", "neighbours"]

_ROWS_AT_ONCE = 1024


def neighbours(given: Given, features: str) -> Setting:
    """Answer by the votes of the nearest images among those that are not left out."""
    pool, folds = given.pool, given.folds
    smallest = min(len(learned) for learned, _, _ in folds.splits())
    counts = [count for count in COUNTS if count <= smallest]
    found = np.empty((len(counts), len(folds.rows), pool.n_classes), np.float32)
    for learned, held, place in folds.splits():
        rows, labels = pool.vectors[learned], pool.labels[learned]
        for start in range(0, len(held), _ROWS_AT_ONCE):
            part = held[start : start + _ROWS_AT_ONCE]
            at = slice(place.start + start, place.start + start + len(part))
            cosines = pool.vectors[part] @ rows.T
            nearest = np.argpartition(-cosines, counts[-1] - 1, axis=1)[:, : counts[-1]]
            values = np.take_along_axis(cosines, nearest, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            values = np.take_along_axis(values, order, axis=1)
            chosen = labels[np.take_along_axis(nearest, order, axis=1)]
            for number, count in enumerate(counts):
                votes = vote(values[:, :count], chosen[:, :count], n_classes=pool.n_classes)
                found[number, at] = votes
    settings = (Setting({"k": count}, logits) for count, logits in zip(counts, found, strict=True))
    return best_setting(settings, pool.labels[folds.rows])


SHORTCUT = Shortcut(neighbours)
