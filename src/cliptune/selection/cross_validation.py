"""Every candidate's answers for images that were held out.

It knows which methods there are and what each can learn from; choosing among them is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.candidates import Candidate, Pool, Setting
from cliptune.selection.folds import Folds
from cliptune.selection.gaussian import discriminants, prototypes
from cliptune.selection.linear_paths import linear_heads
from cliptune.selection.methods import TRAINED, on_features
from cliptune.selection.neighbours import caches, neighbours
from cliptune.selection.refitted import refitted
from cliptune.selection.subspace import Subspace, span
from cliptune.usage import Usage

__all__ = ["cross_validate", "held_out_loss"]

_MANY = 12_000  # images, from which on linear learns from the features that suit discriminants


def cross_validate(
    pool: Pool,
    folds: Folds,
    methods: Sequence[str],
    *,
    options: Mapping[str, Any],
) -> Iterator[list[Candidate]]:
    """Give each method's candidates, one for each of the features, zero-shot first.

    Args:
        pool: The data.
        folds: What is left out, time after time.
        methods: Names in ``METHODS``.
        options: Arguments for the heads, zero-shot excepted; ``features`` names the only features
            to learn from.
    """
    subspace = cache(lambda features: span(pool.columns(features)))
    favourite = cache(lambda: _favourite(pool, folds, subspace))
    for method in dict.fromkeys(("zero-shot", *methods)):
        own = {} if method == "zero-shot" else dict(options)
        wanted = own.pop("features", None)
        features = pool.all_features if on_features(method) else (_elsewhere(method),)
        if wanted is not None:
            features = ("both" if wanted == "trunk" else wanted,)
        elif method == "linear" and len(pool.labels) > _MANY:
            features = (favourite(),)
        found = [_candidate(pool, folds, method, one, own, subspace) for one in features]
        yield found


def _favourite(pool: Pool, folds: Folds, subspace: Callable[[str], Subspace]) -> str:
    """Return the features that suit discriminants best: of many images, linear would take long."""
    losses = {
        features: calibrated_log_loss(
            discriminants(pool, folds, features, subspace(features)).logits,
            pool.labels[folds.rows],
        )
        for features in pool.all_features
    }
    return min(losses, key=lambda features: losses[features])


def _elsewhere(method: str) -> str:
    return "tokens" if method == "attention" else "embedding"


def held_out_loss(candidate: Candidate, pool: Pool, folds: Folds) -> float:
    """Return the smoothed log-loss of a candidate's answers at their best temperature."""
    labels = pool.labels[folds.rows[: len(candidate.logits)]]
    return calibrated_log_loss(candidate.logits, labels)


def _candidate(
    pool: Pool,
    folds: Folds,
    method: str,
    features: str,
    options: dict[str, Any],  # Any: arguments of any head
    subspace: Callable[[str], Subspace],
) -> Candidate:
    with Usage() as usage:
        setting = _answers(pool, folds, method, features, options, subspace)
    return Candidate(
        method, features, setting.options, setting.logits, usage.seconds, usage.peak_bytes
    )


def _answers(
    pool: Pool,
    folds: Folds,
    method: str,
    features: str,
    options: dict[str, Any],  # Any: arguments of any head
    subspace: Callable[[str], Subspace],
) -> Setting:
    if method == "zero-shot":
        return Setting(
            {}, zero_shot_logits(pool.vectors[folds.rows], pool.text_rows, pool.logit_scale)
        )
    if options or method in TRAINED:
        return refitted(
            pool, folds.first_repeat(), method, _with_features(method, features, options)
        )
    if method == "prototype":
        return prototypes(pool, folds, features)
    if method == "discriminant":
        return discriminants(pool, folds, features, subspace(features))
    if method == "linear":
        return linear_heads(pool, folds, features, subspace(features))
    return (neighbours if method == "knn" else caches)(pool, folds)


def _with_features(
    method: str, features: str, options: dict[str, Any]
) -> dict[str, Any]:  # Any: as above
    return {**options, "features": features} if on_features(method) else options
