"""Every candidate's answers for images that were held out.

It knows which methods there are and what each can learn from; choosing among them is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from cliptune.heads.arrays import softmax
from cliptune.heads.choice import best_temperature, calibrated_log_loss
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.blends import blends
from cliptune.selection.candidates import Candidate, Pool, Setting
from cliptune.selection.folds import Folds
from cliptune.selection.gaussian import discriminants, prototypes
from cliptune.selection.judging import Judged, corrected_error
from cliptune.selection.methods import METHODS, TRAINED, on_features
from cliptune.selection.refitted import refitted
from cliptune.selection.subspace import Subspace, span
from cliptune.system.usage import Usage

__all__ = ["MANY", "cross_validate", "favoured", "held_out_loss"]

MANY = 12_000  # images, from which on linear learns from the features that suit discriminants
_SHOWN = 2.0  # standard errors


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
    alone = dict(options)
    wanted = alone.pop("features", None)

    @cache
    def answers(method: str) -> list[Candidate]:
        own = {} if method == "zero-shot" else alone
        if method == "blend" and not own:
            return blends(pool, folds, answers("discriminant"), answers("linear"))
        features = pool.all_features if on_features(method) else (_elsewhere(method),)
        if wanted is not None and method != "zero-shot":
            features = ("both" if wanted == "trunk" else wanted,)
        elif method == "linear" and len(pool.labels) > MANY:
            # Of many images each would take long: those that suit discriminants.
            features = (favoured(answers("discriminant"), pool, folds).features,)
        return [_candidate(pool, folds, method, one, own, subspace) for one in features]

    for method in dict.fromkeys(("zero-shot", *methods)):
        yield answers(method)


def favoured(candidates: Sequence[Candidate], pool: Pool, folds: Folds) -> Candidate:
    """Return a method's candidate on the features that suit it.

    Features before the projection, as CLIP's own linear probe learns from them
    (arXiv:2103.00020, appendix A.3); others where their held-out log-loss is lower by more than
    two standard errors of the corrected resampled t-test: few images tell features apart no better
    than chance does.

    Args:
        candidates: One for each of the features.
        pool: The data.
        folds: What was left out.
    """
    usual = next((one for one in candidates if one.features == "penultimate"), candidates[0])
    judged = {one.features: _judge(one, pool, folds) for one in candidates}
    best = min(candidates, key=lambda one: judged[one.features].log_loss)
    lower = judged[usual.features].losses - judged[best.features].losses
    error = corrected_error(lower, judged[usual.features], judged[best.features])
    return best if float(lower.mean()) > _SHOWN * error else usual


def _judge(candidate: Candidate, pool: Pool, folds: Folds) -> Judged:
    labels = pool.labels[folds.rows[: len(candidate.logits)]]
    temperature, _ = best_temperature(candidate.logits, labels)
    return Judged.of(softmax(candidate.logits / temperature), pool.labels, folds)


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
    if options or method in TRAINED or method not in METHODS:
        return refitted(
            pool, folds.first_repeat(), method, _with_features(method, features, options)
        )
    if method == "prototype":
        return prototypes(pool, folds, features)
    if method == "discriminant":
        return discriminants(pool, folds, features, subspace(features))
    if method == "linear":
        from cliptune.selection.linear_paths import linear_heads  # with torch

        return linear_heads(pool, folds, features, subspace(features))
    from cliptune.selection.neighbours import caches, neighbours

    return (neighbours if method == "knn" else caches)(pool, folds)


def _with_features(
    method: str, features: str, options: dict[str, Any]
) -> dict[str, Any]:  # Any: as above
    return {**options, "features": features} if on_features(method) else options
