"""Blends in cross-validation: answers of discriminants and logistic regressions, averaged.

Nothing is fitted: both parts have answered for the held-out images before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cliptune.heads.choice import best_temperature
from cliptune.selection.candidates import Candidate, Pool, Setting
from cliptune.selection.folds import Folds

__all__ = ["blends"]


def blends(
    pool: Pool, folds: Folds, discriminants: Sequence[Candidate], linears: Sequence[Candidate]
) -> list[Candidate]:
    """Average discriminant and linear head wherever they learn from the same features.

    Args:
        pool: The data.
        folds: What was left out.
        discriminants: One for each of the features.
        linears: Likewise.
    """
    labels = pool.labels[folds.rows]
    by_features = {one.features: one for one in linears}
    return [
        Candidate(
            "blend",
            first.features,
            (found := _average(first, by_features[first.features], labels)).options,
            found.logits,
        )
        for first in discriminants
        if first.features in by_features
    ]


def _average(first: Candidate, second: Candidate, labels: np.ndarray) -> Setting:
    weights, logits = [], np.float32(0)
    for part in (first, second):
        temperature, _ = best_temperature(part.logits, labels)
        weights.append(0.5 / temperature)
        logits = logits + np.float32(weights[-1]) * part.logits
    options = {
        "features": first.features,
        "discriminant": _without_features(first),
        "linear": _without_features(second),
        "discriminant_weight": weights[0],
        "linear_weight": weights[1],
    }
    return Setting(options, np.asarray(logits))


def _without_features(part: Candidate) -> dict[str, float]:
    return {name: value for name, value in part.options.items() if name != "features"}
