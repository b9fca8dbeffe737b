"""Blends in cross-validation: answers of discriminants and logistic regressions, averaged.

Nothing is fitted: both parts have answered for the held-out images before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cliptune.heads.choice import best_temperature
from cliptune.selection.candidates import Candidate, Setting
from cliptune.selection.shortcuts import Given, Shortcut

__all__ = ["SHORTCUT", "blends"]


def blends(given: Given, features: str) -> Setting:
    """Average discriminant and linear head on the same features."""
    first, second = (_of(given.answers(part), features) for part in ("discriminant", "linear"))
    labels = given.pool.labels[given.folds.rows]
    weights = [0.5 / best_temperature(part.logits, labels)[0] for part in (first, second)]
    logits = np.float32(weights[0]) * first.logits + np.float32(weights[1]) * second.logits
    options = {
        "features": features,
        "discriminant": _without_features(first),
        "linear": _without_features(second),
        "discriminant_weight": weights[0],
        "linear_weight": weights[1],
    }
    return Setting(options, logits)


def _kinds(given: Given) -> tuple[str, ...]:
    """Give the features that both parts learn from."""
    linears = {one.features for one in given.answers("linear")}
    return tuple(one.features for one in given.answers("discriminant") if one.features in linears)


def _of(candidates: Sequence[Candidate], features: str) -> Candidate:
    return next(one for one in candidates if one.features == features)


def _without_features(part: Candidate) -> dict[str, Any]:  # Any: arguments of any head
    return {name: value for name, value in part.options.items() if name != "features"}


SHORTCUT = Shortcut(blends, _kinds)
