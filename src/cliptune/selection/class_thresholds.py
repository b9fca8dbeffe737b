"""Thresholds of the classes of a fitted method: chosen, what they are worth, kept or not.

It sees held-out answers and a head's bias, and knows nothing about files or how results are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import Fitted
from cliptune.errors import InputError
from cliptune.evaluation.calibration import apply_temperature
from cliptune.heads.balance import log_prior
from cliptune.heads.biased import has_bias, with_offsets
from cliptune.selection.folds import Folds
from cliptune.selection.judging import Gain, Judged, compare
from cliptune.selection.offsets import choose_offsets, cross_fitted_offsets

__all__ = [
    "MovedThresholds",
    "check_moved_score",
    "move_thresholds",
    "not_moved",
    "require_bias",
]

_TIMES = 3  # divisions that the gain is the mean of
_FEW = 1_000_000  # scores up to which it is; one division is enough of more
_WITH_BIAS = "discriminant, linear, blend or linear-sgd"


@dataclass(frozen=True)
class MovedThresholds:
    """What came of choosing a threshold for each class.

    Attributes:
        method: The method whose thresholds they are.
        select: The score that they were chosen by.
        kept: The head has them in its bias; its answers are as they were otherwise.
        offsets: float64 (C,), what is added to the log-probability of each class; None where none
            could be chosen.
        before: The score of held-out images without them.
        gain: From these to answers moved by offsets that were chosen on other images.
        reason: Why none could be chosen.
    """

    method: str | None
    select: str
    kept: bool
    offsets: NDArray[np.float64] | None = None
    before: float | None = None
    gain: Gain | None = None
    reason: str | None = None


def check_moved_score(select: str) -> None:
    """Make sure that a score depends on answers, which thresholds move.

    Raises:
        InputError: It is the log-loss.
    """
    if select == "log-loss":
        raise InputError(
            "--class-thresholds came with --select log-loss, which thresholds do not lower; give "
            "--select balanced-accuracy, macro-f1 or accuracy"
        )


def require_bias(method: str) -> None:
    """Make sure that a method has a bias to put thresholds into.

    Raises:
        InputError: It has none.
    """
    if not has_bias(method):
        raise InputError(
            f"--class-thresholds came with --method {method}, which has no bias to move; name "
            f"{_WITH_BIAS}, or leave --method out"
        )


def move_thresholds(
    fitted: Fitted,
    logits: NDArray[np.float32],
    judged: Judged,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: Folds,
    *,
    select: str,
    seed: int,
) -> tuple[MovedThresholds, Fitted, NDArray[np.float64]]:
    """Choose a threshold for each class on held-out answers; keep them where that is worth it.

    Offsets are chosen on all held-out answers, and their gain is that of offsets chosen on four
    fifths of the images and scored on the fifth. They are kept where it is above 0.

    Args:
        fitted: A method with a bias.
        logits: float32 (H, C), its logits for the folds' held-out rows.
        judged: How these were judged.
        labels: int64 (n,), of all images that are learned from.
        groups: int64 (n,), images of one number look alike.
        folds: What was left out.
        select: ``accuracy``, ``balanced-accuracy`` or ``macro-f1``.
        seed: Of how images are divided for the gain.

    Returns:
        What came out; the method with its head moved, where they are kept; and probabilities
        float64 (H, C) for the held-out rows, moved by what was chosen on other images.
    """
    rows = folds.rows[: len(logits)]
    own, scores = labels[rows], logits.astype(np.float64) / fitted.temperature
    prior = log_prior(labels, logits.shape[1])
    repeats = len(rows) / len(judged.images)
    offsets = choose_offsets(scores, own, prior, select=select, repeats=repeats)
    graded, shown = [], None
    for moved in cross_fitted_offsets(
        scores,
        own,
        groups[rows],
        prior,
        select=select,
        repeats=repeats,
        times=_TIMES if scores.size <= _FEW else 1,
        seed=seed,
    ):
        probabilities = apply_temperature(moved, 1.0)
        shown = probabilities if shown is None else shown
        graded.append(Judged.of(probabilities, labels, folds, select=select).scores)
    assert shown is not None  # they are divided once at least
    gain = compare(judged, replace(judged, graded=np.mean(graded, axis=0)))
    kept = gain.difference > 0
    found = MovedThresholds(fitted.name, select, kept, offsets, judged.score, gain)
    if kept:
        head = with_offsets(fitted.head, fitted.temperature * offsets)
        fitted = replace(fitted, head=head)
    return found, fitted, shown


def not_moved(method: str | None, select: str) -> MovedThresholds:
    """Say that thresholds stay as they are, because the recommended method has no bias."""
    reason = (
        "no method is recommended"
        if method is None
        else f"{method} has no bias to move; name one that has as --method: {_WITH_BIAS}"
    )
    return MovedThresholds(method, select, False, reason=reason)
