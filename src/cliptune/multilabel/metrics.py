"""Scores of answers to several labels an image, each with its n and a 95 % interval.

It knows nothing about models, images or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import Score

__all__ = [
    "DrawnAreas",
    "LabelScores",
    "LabelSetMetrics",
    "average_precisions",
    "mean_average_precision",
    "percentiles_around",
    "resampled_weights",
    "score_label_sets",
]

_N_RESAMPLES = 500
_METHOD = "bootstrap over images"


@dataclass(frozen=True)
class LabelScores:
    """One class.

    Attributes:
        name: Of the class.
        n: Images that have it.
        average_precision: Area under precision and recall; None where no image has it.
        precision: Of the images said to have it; 0 where there are none.
        recall: Of the images that have it; 0 where there are none.
        f1: Harmonic mean of both.
        threshold: The probability from which on it is said.
    """

    name: str
    n: int
    average_precision: float | None
    precision: float
    recall: float
    f1: float
    threshold: float


@dataclass(frozen=True)
class LabelSetMetrics:
    """All scores of one way of answering, on one set of images.

    Attributes:
        n: Images.
        mean_average_precision: Mean over the classes that any image has.
        micro_f1: Over all answers at once.
        macro_f1: Mean over classes.
        log_loss: Mean over images and classes, in nats.
        per_class: Each class.
    """

    n: int
    mean_average_precision: Score
    micro_f1: Score
    macro_f1: Score
    log_loss: float
    per_class: tuple[LabelScores, ...]


def average_precisions(
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the average precision of each class: sum of precision times gain in recall.

    Equal scores count as one step, as in scikit-learn's ``average_precision_score``.

    Args:
        truth: bool (N, C).
        scores: (N, C), larger where a class is more likely.
        weights: float64 (B, N), how often each image counts in each of B resamples.

    Returns:
        float64 (B, C), or (1, C) without weights; nan where no image has a class.
    """
    rows = np.ones((1, len(truth))) if weights is None else weights
    found = np.full((len(rows), truth.shape[1]), np.nan)
    for c in range(truth.shape[1]):
        order = np.argsort(-scores[:, c], kind="stable")
        ordered = scores[order, c]
        ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        weighted = rows[:, order]
        hits = np.cumsum(weighted * truth[order, c], axis=1)[:, ends]
        seen = np.cumsum(weighted, axis=1)[:, ends]
        gains = np.diff(hits, axis=1, prepend=0.0)
        total = hits[:, -1]
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        area = (gains * precision).sum(axis=1)
        found[:, c] = np.divide(area, total, out=np.full_like(area, np.nan), where=total > 0)
    return found


def mean_average_precision(
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the mean over the classes that any image has: float64 (B,), or (1,)."""
    areas = average_precisions(truth, scores, weights)
    known = ~np.isnan(areas)
    n_known = known.sum(axis=1)
    total = np.where(known, areas, 0.0).sum(axis=1)
    means: NDArray[np.float64] = np.full(len(total), np.nan)
    np.divide(total, n_known, out=means, where=n_known > 0)
    return means


@dataclass(frozen=True)
class DrawnAreas:
    """A mean average precision and what resamples of its images give.

    Attributes:
        value: Of the images as they are.
        drawn: float64 (B,), of each resample.
    """

    value: float
    drawn: NDArray[np.float64]

    @classmethod
    def of(
        cls, truth: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.float64]
    ) -> DrawnAreas:
        """Score answers (N, C) of images whose classes are ``truth``, bool (N, C).

        Args:
            truth: Classes.
            scores: Larger where a class is more likely.
            weights: float64 (B, N), see ``resampled_weights``.
        """
        value = float(mean_average_precision(truth, scores)[0])
        return cls(value, mean_average_precision(truth, scores, weights))

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of its 95 % interval."""
        return percentiles_around(self.value, self.drawn)

    def change_to(self, other: DrawnAreas) -> tuple[float, float, float]:
        """Return what another gains on the same images and resamples: value, low, high."""
        change = other.value - self.value
        return change, *percentiles_around(change, other.drawn - self.drawn)


def resampled_weights(n: int, *, seed: int, n_resamples: int = _N_RESAMPLES) -> NDArray[np.float64]:
    """Return how often each of n images is drawn in each resample: float64 (B, n)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)


def score_label_sets(
    truth: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
    said: NDArray[np.bool_],
    *,
    class_names: Sequence[str],
    thresholds: Sequence[float],
    seed: int,
) -> LabelSetMetrics:
    """Score answers.

    Args:
        truth: bool (N, C).
        probabilities: float64 (N, C).
        said: bool (N, C): which classes are said, at thresholds that these images did not set.
        class_names: C names.
        thresholds: C, for the record.
        seed: Of the bootstrap.
    """
    weights = resampled_weights(len(truth), seed=seed)
    areas = average_precisions(truth, probabilities)[0]
    hits, claimed, there = (truth & said).sum(0), said.sum(0), truth.sum(0)
    per_class = tuple(
        LabelScores(
            name=name,
            n=int(there[c]),
            average_precision=None if np.isnan(areas[c]) else float(areas[c]),
            precision=_ratio(hits[c], claimed[c]),
            recall=_ratio(hits[c], there[c]),
            f1=_ratio(2 * hits[c], claimed[c] + there[c]),
            threshold=float(thresholds[c]),
        )
        for c, name in enumerate(class_names)
    )
    micro, macro = _f1(truth, said, np.ones((1, len(truth))))
    micro_drawn, macro_drawn = _f1(truth, said, weights)
    drawn = mean_average_precision(truth, probabilities, weights)
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    log_loss = -np.where(truth, np.log(clipped), np.log1p(-clipped)).mean()
    return LabelSetMetrics(
        n=len(truth),
        mean_average_precision=_score(float(np.nanmean(areas)), drawn, len(truth)),
        micro_f1=_score(float(micro[0]), micro_drawn, len(truth)),
        macro_f1=_score(float(macro[0]), macro_drawn, len(truth)),
        log_loss=float(log_loss),
        per_class=per_class,
    )


def _f1(
    truth: NDArray[np.bool_], said: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    hits = weights @ (truth & said)
    both = weights @ said.astype(float) + weights @ truth.astype(float)
    each = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    total = both.sum(axis=1)
    micro = np.divide(2 * hits.sum(axis=1), total, out=np.zeros_like(total), where=total > 0)
    return micro, each.mean(axis=1)


def _score(value: float, drawn: NDArray[np.float64], n: int) -> Score:
    low, high = percentiles_around(value, drawn)
    return Score(value, max(low, 0.0), min(high, 1.0), n, _METHOD)


def percentiles_around(value: float, drawn: NDArray[np.float64]) -> tuple[float, float]:
    """Return a 95 % interval from resampled values, moved so that their mean is the value.

    An image that is drawn twice ranks beside itself, so resampled areas lie above the sample's.
    """
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return value, value
    low, high = np.percentile(known, [2.5, 97.5]) - known.mean() + value
    return float(low), float(high)


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0
