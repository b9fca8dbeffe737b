"""Labels and probabilities -> scores, each with its n and a 95 % interval.

It knows nothing about models, images or files. Every interval names its method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError

__all__ = [
    "ClassScore",
    "Metrics",
    "Score",
    "compute_metrics",
    "expected_calibration_error",
    "percentile_interval",
    "wilson_interval",
]

_LEVEL = 0.95
N_RESAMPLES = 1000
_ECE_BINS = 15


@dataclass(frozen=True)
class Score:
    """One number with its uncertainty.

    Attributes:
        value: The score on the n items seen.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        n: How many items it rests on.
        method: How the interval was made.
    """

    value: float
    low: float
    high: float
    n: int
    method: str


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class; ``recall`` carries a Wilson interval."""

    name: str
    n: int
    precision: float
    recall: float
    recall_low: float
    recall_high: float
    f1: float


@dataclass(frozen=True)
class Metrics:
    """All scores of one classifier on one labelled set of images.

    Attributes:
        n: Number of labelled images.
        accuracy: Share whose most probable class is right.
        balanced_accuracy: Mean recall over the classes that occur.
        log_loss: Mean negative log-probability of the true class, in nats.
        ece: Expected calibration error of the top class, 15 bins of equal width.
        per_class: One entry per class, in class order.
        confusion: int64 (C, C), rows are true classes, columns predicted ones.
    """

    n: int
    accuracy: Score
    balanced_accuracy: Score
    log_loss: Score
    ece: Score
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]

    def summary(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the headline scores as plain JSON values, without the per-class part."""
        headline = {
            name: getattr(self, name)
            for name in ("accuracy", "balanced_accuracy", "log_loss", "ece")
        }
        return {
            "n": self.n,
            "accuracy": self.accuracy.value,
            "interval": [self.accuracy.low, self.accuracy.high],
            "balanced_accuracy": self.balanced_accuracy.value,
            "log_loss": self.log_loss.value,
            "ece": self.ece.value,
            "intervals": {
                name: {"low": s.low, "high": s.high, "level": _LEVEL, "method": s.method}
                for name, s in headline.items()
            },
        }

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        return {
            **self.summary(),
            "per_class": [vars(c) for c in self.per_class],
            "confusion": self.confusion.tolist(),
        }


def compute_metrics(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],  # Any: any width of float
    *,
    class_names: Sequence[str],
    seed: int = 0,
) -> Metrics:
    """Score probabilities against labels.

    Args:
        labels: int (N,), values 0..C-1.
        probabilities: (N, C), rows sum to 1.
        class_names: C names.
        seed: Seed of the bootstrap.

    Raises:
        InputError: Shapes disagree, a label is outside 0..C-1, there is nothing to score, or
            a probability is not finite.
    """
    scores: NDArray[np.float64] = probabilities.astype(np.float64)
    _check_scorable(labels, scores, len(class_names))
    predicted = scores.argmax(axis=1)
    confidence = scores.max(axis=1)
    correct = predicted == labels
    true_probability = scores[np.arange(len(labels)), labels]
    losses = -np.log(np.clip(true_probability, np.finfo(np.float64).tiny, None))
    confusion = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    rng = np.random.default_rng(seed)
    return Metrics(
        n=len(labels),
        accuracy=_accuracy_score(correct),
        balanced_accuracy=_balanced_accuracy_score(confusion, rng),
        log_loss=_bootstrap_score(len(labels), lambda rows: float(losses[rows].mean()), rng),
        ece=_bootstrap_score(
            len(labels),
            lambda rows: expected_calibration_error(correct[rows], confidence[rows]),
            rng,
        ),
        per_class=_class_scores(confusion, class_names),
        confusion=confusion,
    )


def _check_scorable(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], n_classes: int
) -> None:
    if probabilities.shape != (len(labels), n_classes):
        raise InputError(
            f"probabilities have shape {probabilities.shape}; expected ({len(labels)}, {n_classes})"
        )
    if len(labels) == 0:
        raise InputError("there is no labelled image to score; give data with labels")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()}; expected 0 to {n_classes - 1}"
        )
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])
        raise InputError(f"the probabilities of row {row} are not finite; check its features")


def wilson_interval(n_correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson, JASA 22, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(n_correct, n).proportion_ci(confidence_level=_LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def expected_calibration_error(
    correct: NDArray[np.bool_], confidence: NDArray[np.float64]
) -> float:
    """Return the gap between confidence and accuracy, averaged over 15 bins of equal width.

    Eq. 3 of Guo et al., arXiv:1706.04599: the sum over bins of
    ``|bin| / n * |accuracy(bin) - confidence(bin)|``.

    Args:
        correct: bool (N,), whether the top class is right.
        confidence: float (N,), the top class's probability.
    """
    bins = np.clip(np.ceil(confidence * _ECE_BINS).astype(np.int64) - 1, 0, _ECE_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=_ECE_BINS)
    return float(np.abs(gaps).sum() / len(correct))


def _accuracy_score(correct: NDArray[np.bool_]) -> Score:
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return Score(float(correct.mean()), low, high, len(correct), "Wilson")


def _balanced_accuracy_score(confusion: NDArray[np.int64], rng: np.random.Generator) -> Score:
    """Resample within each class: a class's hits are then binomial, so no row is touched."""
    support = confusion.sum(axis=1)
    present = support > 0
    recall = confusion.diagonal()[present] / support[present]
    draws = rng.binomial(support[present], recall, size=(N_RESAMPLES, int(present.sum())))
    resampled = (draws / support[present]).mean(axis=1)
    low, high = percentile_interval(resampled)
    n = int(support.sum())
    return Score(float(recall.mean()), low, high, n, "bootstrap within classes, percentile")


def _bootstrap_score(
    n: int, statistic: Callable[[NDArray[np.int64] | slice], float], rng: np.random.Generator
) -> Score:
    resampled = [statistic(rng.integers(0, n, size=n)) for _ in range(N_RESAMPLES)]
    low, high = percentile_interval(np.asarray(resampled))
    return Score(statistic(slice(None)), low, high, n, "bootstrap over images, percentile")


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of resampled values."""
    tail = 100 * (1 - _LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _class_scores(
    confusion: NDArray[np.int64], class_names: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Read precision, recall and F1 off the confusion matrix; an empty share counts as 0."""
    hits = confusion.diagonal().astype(np.float64)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    scores = []
    for c, name in enumerate(class_names):
        n = int(support[c])
        low, high = wilson_interval(int(hits[c]), n) if n else (0.0, 1.0)
        scores.append(
            ClassScore(
                name=name,
                n=n,
                precision=_share(hits[c], predicted[c]),
                recall=_share(hits[c], support[c]),
                recall_low=low,
                recall_high=high,
                f1=_share(2 * hits[c], support[c] + predicted[c]),
            )
        )
    return tuple(scores)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
