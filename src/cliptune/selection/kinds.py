"""Which kind of features suits a method, by its log-loss on held-out images.

It sees answers, and knows no method.
"""

from __future__ import annotations

from collections.abc import Sequence

from cliptune.heads.arrays import softmax
from cliptune.heads.choice import best_temperature, calibrated_log_loss
from cliptune.selection.candidates import Candidate, Pool
from cliptune.selection.folds import Folds
from cliptune.selection.judging import Judged, corrected_error

__all__ = ["MANY", "favoured", "held_out_loss"]

MANY = 12_000  # images, from which on linear learns from the features that suit discriminants
_SHOWN = 2.0  # standard errors


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


def held_out_loss(candidate: Candidate, pool: Pool, folds: Folds) -> float:
    """Return the smoothed log-loss of a candidate's answers at their best temperature."""
    labels = pool.labels[folds.rows[: len(candidate.logits)]]
    return calibrated_log_loss(candidate.logits, labels)


def _judge(candidate: Candidate, pool: Pool, folds: Folds) -> Judged:
    labels = pool.labels[folds.rows[: len(candidate.logits)]]
    temperature, _ = best_temperature(candidate.logits, labels)
    return Judged.of(softmax(candidate.logits / temperature), pool.labels, folds)
