"""Scores of more images than fit in memory: sums over batches, and intervals from their spread.

The scores are those of ``compute_metrics``; where that resamples images, the limit which the
resampled means have for many images takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import (
    ECE_BINS,
    N_RESAMPLES,
    ClassCounts,
    Metrics,
    Score,
    balanced_accuracy_score,
    class_scores,
    percentile_interval,
    wilson_interval,
)

__all__ = ["MetricSums"]

_QUANTILE = 1.959964  # of the normal distribution, for 95 %


@dataclass
class MetricSums:
    """What scores need of the images so far; it grows with the pairs of classes, not with images.

    Attributes:
        n_classes: C.
        n: Images so far.
    """

    n_classes: int
    n: int = 0
    _losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # sum, of squares
    _gaps: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ECE_BINS))
    _squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(ECE_BINS))
    _pairs: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 0), np.int64))

    def add(self, labels: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> None:
        """Add a batch.

        Args:
            labels: int64 (n,), 0..C-1.
            probabilities: (n, C), rows sum to 1.
        """
        predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
        losses = -np.log(np.clip(true, np.finfo(np.float64).tiny, None))
        gaps = (predicted == labels) - confidence.astype(np.float64)
        bins = np.clip(np.ceil(confidence * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
        self.n += len(labels)
        self._losses += losses.sum(), np.square(losses).sum()
        self._gaps += np.bincount(bins, gaps, ECE_BINS)
        self._squares += np.bincount(bins, gaps**2, ECE_BINS)
        codes, counts = np.unique(labels * self.n_classes + predicted, return_counts=True)
        both = np.concatenate([self._pairs, np.stack([codes, counts])], axis=1)
        codes, place = np.unique(both[0], return_inverse=True)
        summed = np.bincount(place, both[1]).astype(np.int64)
        self._pairs = np.stack([codes, summed])

    def metrics(self, class_names: Sequence[str], *, seed: int = 0) -> Metrics:
        """Return the scores of all images so far, one or more.

        Args:
            class_names: C names.
            seed: Of what is drawn for intervals.
        """
        true, predicted = np.divmod(self._pairs[0], self.n_classes)
        times, right = self._pairs[1], true == predicted
        counts = ClassCounts(
            self._count(true, times),
            self._count(predicted, times),
            self._count(true[right], times[right]),
        )
        hits, rng = int(counts.hits.sum()), np.random.default_rng(seed)
        return Metrics(
            n=self.n,
            accuracy=Score(hits / self.n, *wilson_interval(hits, self.n), self.n, "Wilson"),
            balanced_accuracy=balanced_accuracy_score(counts, rng),
            log_loss=self._log_loss(),
            ece=self._calibration(rng),
            per_class=class_scores(counts, class_names),
            cells=np.stack([true, predicted, times], axis=1),
        )

    def _count(self, classes: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(classes, times, self.n_classes).astype(np.int64)

    def _log_loss(self) -> Score:
        mean, square = self._losses / self.n
        width = _QUANTILE * float(np.sqrt(max(square - mean**2, 0.0) / self.n))
        return Score(float(mean), mean - width, mean + width, self.n, "normal, over images")

    def _calibration(self, rng: np.random.Generator) -> Score:
        """Draw the sums of each bin as the bootstrap over images gives them in the limit."""
        means = self._gaps / self.n
        spread = (np.diag(self._squares / self.n) - np.outer(means, means)) / self.n
        draws = rng.multivariate_normal(means, spread, N_RESAMPLES, check_valid="ignore")
        low, high = percentile_interval(np.abs(draws).sum(axis=1))
        value = float(np.abs(means).sum())
        return Score(value, low, high, self.n, "normal limit of the bootstrap over images")
