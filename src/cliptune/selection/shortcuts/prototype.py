"""Prototypes in cross-validation: class sums over all rows less those of a fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.prototype import class_sums
from cliptune.selection.candidates import Pool, Setting
from cliptune.selection.shortcuts import Given, Shortcut

__all__ = ["SHORTCUT", "prototypes", "sums_by_class"]


def prototypes(given: Given, features: str) -> Setting:
    """Answer by the cosine to class means without the held rows."""
    pool, folds = given.pool, given.folds
    rows = pool.columns(features)
    sums = sums_by_class(pool, rows, np.arange(len(rows)))
    logits = np.empty((len(folds.rows), pool.n_classes), np.float32)
    for _, held, place in folds.splits():
        means = sums - sums_by_class(pool, rows, held)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        logits[place] = pool.logit_scale * (rows[held] @ means.T.astype(np.float32))
    return Setting({"features": features}, logits)


def sums_by_class(
    pool: Pool, features: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sums of some rows by class, float64 (C, m)."""
    return class_sums(features[rows], pool.labels[rows], pool.n_classes, soft=pool.soft_of(rows))


SHORTCUT = Shortcut(prototypes)
