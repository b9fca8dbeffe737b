"""Labels and probabilities -> scores, each with its n and a 95 % interval.

It knows nothing about models, images or files. Every interval names its method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.evaluation.distributions import wilson_bounds

__all__ = [
    "ECE_BINS",
    "MOST_DENSE",
    "N_RESAMPLES",
    "ClassCounts",
    "ClassScore",
    "Metrics",
    "Score",
    "balanced_accuracy_score",
    "class_scores",
    "compute_metrics",
    "expected_calibration_error",
    "percentile_interval",
    "wilson_interval",
]

_LEVEL = 0.95
N_RESAMPLES = 1000
ECE_BINS = 15
_DRAWN_AT_ONCE = 2**14  # images, that they stay in the processor's cache


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

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the 95 % interval."""
        return self.low, self.high


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
        cells: int64 (K, 3): true class, predicted class and how many images, for the K pairs of
            classes that occur. The whole matrix of thousands of classes would be all but empty.
    """

    n: int
    accuracy: Score
    balanced_accuracy: Score
    log_loss: Score
    ece: Score
    per_class: tuple[ClassScore, ...]
    cells: NDArray[np.int64]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """The matrix, int64 (C, C): rows are true classes, columns predicted ones."""
        n_classes = len(self.per_class)
        matrix = np.zeros((n_classes, n_classes), dtype=np.int64)
        matrix[self.cells[:, 0], self.cells[:, 1]] = self.cells[:, 2]
        return matrix

    def headline(self) -> Metrics:
        """Return the same scores without the per-class part."""
        return replace(self, per_class=(), cells=_read_cells(None))

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
        """Return everything as plain JSON values.

        ``confusion`` is the matrix; of more than 200 classes, ``classes`` and ``cells`` of it.
        Scores that were read from a summary have no per-class part, and none is written.
        """
        n_classes = len(self.per_class)
        if not n_classes:
            return self.summary()
        return {
            **self.summary(),
            "per_class": [vars(c) for c in self.per_class],
            "confusion": self.confusion.tolist()
            if n_classes <= MOST_DENSE
            else {"classes": n_classes, "cells": self.cells.tolist()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: plain JSON values
        """Read what ``to_dict`` or ``summary`` gave.

        Raises:
            KeyError: A score is missing.
        """
        n = int(values["n"])
        scores = {
            name: Score(float(values[name]), ends["low"], ends["high"], n, ends["method"])
            for name, ends in values["intervals"].items()
        }
        per_class = tuple(ClassScore(**one) for one in values.get("per_class", ()))
        return cls(n=n, **scores, per_class=per_class, cells=_read_cells(values.get("confusion")))

    @staticmethod
    def plain_keys() -> frozenset[str]:
        """Return the keys that ``to_dict`` writes, where they stand among those of others."""
        headline = ("accuracy", "balanced_accuracy", "log_loss", "ece")
        return frozenset({"n", "interval", "intervals", "per_class", "confusion", *headline})


def _read_cells(confusion: Any) -> NDArray[np.int64]:  # Any: plain JSON values
    if confusion is None:
        return np.empty((0, 3), dtype=np.int64)
    if isinstance(confusion, Mapping):
        return np.asarray(confusion["cells"], dtype=np.int64).reshape(-1, 3)
    matrix = np.asarray(confusion, dtype=np.int64)
    rows, columns = np.nonzero(matrix)
    return np.column_stack([rows, columns, matrix[rows, columns]]).astype(np.int64)


# Classes of which the whole matrix of confusions is written down.
MOST_DENSE = 200


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
    counts = ClassCounts.of(labels, predicted, len(class_names))
    rng = np.random.default_rng(seed)
    return Metrics(
        n=len(labels),
        accuracy=_accuracy_score(correct),
        balanced_accuracy=balanced_accuracy_score(counts, rng),
        log_loss=_bootstrap_score(
            float(losses.mean()), len(labels), lambda rows: losses[rows].mean(axis=1), rng
        ),
        ece=_bootstrap_score(
            expected_calibration_error(correct, confidence),
            len(labels),
            _Calibration.of(correct, confidence).errors,
            rng,
        ),
        per_class=class_scores(counts, class_names),
        cells=_count_cells(labels, predicted),
    )


@dataclass(frozen=True)
class ClassCounts:
    """Of each class, (C,): images, images that were called so, and those rightly called so."""

    support: NDArray[np.int64]
    predicted: NDArray[np.int64]
    hits: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], predicted: NDArray[np.int64], n: int) -> ClassCounts:
        """Count labels and answers, int64 (N,) each, of n classes."""
        right = labels[labels == predicted]
        return cls(*(np.bincount(part, minlength=n) for part in (labels, predicted, right)))


def _count_cells(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs, counts = np.unique(np.stack([labels, predicted], axis=1), axis=0, return_counts=True)
    return np.column_stack([pairs, counts]).astype(np.int64)


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
    return wilson_bounds(n_correct, n, _LEVEL)


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
    rows = np.arange(len(correct))[None]
    return float(_Calibration.of(correct, confidence).errors(rows)[0])


@dataclass(frozen=True)
class _Calibration:
    """Of each image, (N,): its bin, and by how much its rightness exceeds its confidence."""

    bins: NDArray[np.int64]
    gaps: NDArray[np.float64]

    @classmethod
    def of(cls, correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> _Calibration:
        bins = np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
        return cls(bins, correct - confidence)

    def errors(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the error of each of R choices of images, int64 (R, n)."""
        n_choices, n = rows.shape
        cells = self.bins[rows] + ECE_BINS * np.arange(n_choices)[:, None]
        sums = np.bincount(cells.ravel(), self.gaps[rows].ravel(), n_choices * ECE_BINS)
        errors: NDArray[np.float64] = np.abs(sums.reshape(n_choices, ECE_BINS)).sum(axis=1) / n
        return errors


def _accuracy_score(correct: NDArray[np.bool_]) -> Score:
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return Score(float(correct.mean()), low, high, len(correct), "Wilson")


def balanced_accuracy_score(counts: ClassCounts, rng: np.random.Generator) -> Score:
    """Return the mean recall of the classes that occur.

    Resample within each class: a class's hits are then binomial, so no row is touched.
    """
    support = counts.support
    present = support > 0
    recall = counts.hits[present] / support[present]
    draws = rng.binomial(support[present], recall, size=(N_RESAMPLES, int(present.sum())))
    resampled = (draws / support[present]).mean(axis=1)
    low, high = percentile_interval(resampled)
    n = int(support.sum())
    return Score(float(recall.mean()), low, high, n, "bootstrap within classes, percentile")


def _bootstrap_score(
    value: float,
    n: int,
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    rng: np.random.Generator,
) -> Score:
    """Resample n images; the statistic takes several choices of them at once, int64 (R, n)."""
    at_once = max(1, min(N_RESAMPLES, _DRAWN_AT_ONCE // n))
    resampled = [
        statistic(rng.integers(0, n, size=(min(at_once, N_RESAMPLES - first), n)))
        for first in range(0, N_RESAMPLES, at_once)
    ]
    low, high = percentile_interval(np.concatenate(resampled).astype(np.float64))
    return Score(value, low, high, n, "bootstrap over images, percentile")


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of resampled values."""
    tail = 100 * (1 - _LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def class_scores(counts: ClassCounts, class_names: Sequence[str]) -> tuple[ClassScore, ...]:
    """Read precision, recall and F1 off the counts; an empty share counts as 0."""
    hits, support, predicted = counts.hits, counts.support, counts.predicted
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
