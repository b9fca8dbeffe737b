"""Caches in cross-validation: a fold leaves out images whose affinity would count.

Nothing is fitted; the weight against the texts is chosen on the held-out answers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.cache_keys import BETAS, affinity_factor
from cliptune.heads.choice import best_mixture
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.candidates import Setting, best_setting, scanned
from cliptune.selection.shortcuts import Given, Shortcut

__all__ = ["SHORTCUT", "caches"]

_ROWS_AT_ONCE = 1024


def caches(given: Given, features: str) -> Setting:
    """Answer by zero-shot logits plus as much of the affinity to images as suits them."""
    pool, folds = given.pool, given.folds
    labels = pool.labels[folds.rows]
    texts = zero_shot_logits(pool.vectors, pool.text_rows, pool.logit_scale)[folds.rows]
    found = np.zeros((len(BETAS), len(folds.rows), pool.n_classes), np.float32)
    for learned, held, place in folds.splits():
        counts = np.bincount(pool.labels[learned], minlength=pool.n_classes)
        members = np.zeros((len(learned), pool.n_classes), np.float32)
        members[np.arange(len(learned)), pool.labels[learned]] = 1
        members *= affinity_factor(counts) / np.maximum(counts, 1)
        for start in range(0, len(held), _ROWS_AT_ONCE):
            part = held[start : start + _ROWS_AT_ONCE]
            at = slice(place.start + start, place.start + start + len(part))
            distances = 1 - pool.vectors[part] @ pool.vectors[learned].T
            for number, beta in enumerate(BETAS):
                found[number, at] = np.exp(-np.float32(beta) * distances) @ members
    settings = (
        _with_texts(texts, part, labels, beta) for beta, part in zip(BETAS, found, strict=True)
    )
    return best_setting(settings, labels)


def _with_texts(
    texts: NDArray[np.float32], part: NDArray[np.float32], labels: NDArray[np.int64], beta: float
) -> Setting:
    shown = scanned(texts)
    of_texts, of_cache = best_mixture([texts[shown], part[shown]], labels[shown])
    # The head's texts have the weight 1: a cache without any is one that outweighs them.
    alpha = float(np.clip(of_cache / max(of_texts, 1e-12), 1e-4, 1e4))
    return Setting({"alpha": alpha, "beta": beta}, texts + np.float32(alpha) * part)


SHORTCUT = Shortcut(caches)
