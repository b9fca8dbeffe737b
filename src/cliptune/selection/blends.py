"""Blends in cross-validation: answers of discriminants and logistic regressions, averaged.

Nothing is fitted: both parts have answered for the held-out images before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def _average(first: Candidate, second: Candidate, labels: NDArray[np.int64]) -> Setting:
    weights = [0.5 / best_temperature(part.logits, labels)[0] for part in (first, second)]
    logits = np.float32(weights[0]) * first.logits + np.float32(weights[1]) * second.logits
    options = {
        "features": first.features,
        "discriminant": _without_features(first),
        "linear": _without_features(second),
        "discriminant_weight": weights[0],
        "linear_weight": weights[1],
    }
    return Setting(options, logits)


def _without_features(part: Candidate) -> dict[str, Any]:  # Any: arguments of any head
    return {name: value for name, value in part.options.items() if name != "features"}
