"""What methods answered for the same held-out images, and how far two of them differ.

It sees hits, losses and scores, and knows nothing about what is done with a difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.distributions import student_below, student_quantile
from cliptune.selection.criteria import grade
from cliptune.selection.folds import Folds

__all__ = ["Gain", "Judged", "compare", "corrected_error", "image_error"]

_LEVEL = 0.95


@dataclass(frozen=True)
class Judged:
    """What a method answered for held-out images, calibrated.

    Attributes:
        images: int64 (n,), which images were held out.
        hits: float64 (n,), how often each was right over the repeats, 0 to 1.
        losses: float64 (n,), its mean negative log-probability of the label likewise.
        folds: J, how often a share of the images was left out.
        overlap: n_held / n_learned of one fold.
        graded: float64 (n,), each image's part in the score that methods are compared by (see
            ``grade``); None for the hits.
    """

    images: NDArray[np.int64]
    hits: NDArray[np.float64]
    losses: NDArray[np.float64]
    folds: int
    overlap: float
    graded: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.float64],
        labels: NDArray[np.int64],
        folds: Folds,
        *,
        select: str = "accuracy",
    ) -> Judged:
        """Judge answers.

        Args:
            probabilities: float64 (H, C), calibrated, for the folds' held-out rows in their order;
                fewer where only the first repeat was answered.
            labels: int64 (n,), of all images.
            folds: What was left out.
            select: A name in ``CRITERIA``, by which methods are compared.
        """
        h = len(probabilities)
        rows = folds.rows[:h]
        own = labels[rows]
        right = (probabilities.argmax(axis=1) == own).astype(np.float64)
        losses = -np.log(np.maximum(probabilities[np.arange(h), own], 1e-300))
        images, place, times = np.unique(rows, return_inverse=True, return_counts=True)
        n_folds = int(folds.fold_of[h - 1]) + 1
        held = h / n_folds
        return cls(
            images,
            np.bincount(place, right) / times,
            np.bincount(place, losses) / times,
            n_folds,
            held / max(folds.n - held, 1),
            np.bincount(place, grade(probabilities, own, select)) / times,
        )

    @property
    def scores(self) -> NDArray[np.float64]:
        """What each image adds to the score that methods are compared by, float64 (n,)."""
        return self.hits if self.graded is None else self.graded

    @property
    def score(self) -> float:
        """That score: accuracy, unless another criterion was asked for."""
        return float(self.scores.mean())

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.hits.mean())

    @property
    def log_loss(self) -> float:
        """Mean negative log-probability of the labels, in nats."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Gain:
    """From one method to another, in the score that methods are compared by.

    Attributes:
        difference: Score of the second minus score of the first, on the same held-out images.
        error: Its standard error.
        n: Images.
    """

    difference: float
    error: float
    n: int

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.difference - self.half_width((1 + _LEVEL) / 2)

    @property
    def high(self) -> float:
        """Upper end of it."""
        return self.difference + self.half_width((1 + _LEVEL) / 2)

    def below(self, margin: float) -> float:
        """Return the probability that the difference is at most ``margin``."""
        if self.error == 0:
            return float(self.difference <= margin)
        return student_below((margin - self.difference) / self.error, max(self.n - 1, 1))

    def half_width(self, level: float) -> float:
        """Return how far the quantile of that level lies from the difference."""
        return student_quantile(level, max(self.n - 1, 1)) * self.error


def compare(first: Judged, second: Judged) -> Gain:
    """Compare two methods on the same held-out images by the corrected resampled t-test.

    Folds share what they learn from, so that their differences vary less than independent ones
    would: the variance s^2 / J of the mean of J folds becomes (1 / J + n_held / n_learned) s^2
    (Nadeau & Bengio, Machine Learning 52, 2003, equation 9; as a posterior: arXiv:1606.04316,
    equation 3). Departure: s^2, the variance of one fold's difference, is that of one image's
    divided by the images of a fold, since folds of two images tell little of their own (see
    ``image_error``).

    Args:
        first: A method.
        second: Another; where one was asked for the first repeat alone, J is that repeat's.
    """
    change = second.scores - first.scores
    return Gain(float(change.mean()), corrected_error(change, first, second), len(change))


def corrected_error(change: NDArray[np.float64], first: Judged, second: Judged) -> float:
    """Return the standard error of a mean difference per image, as ``compare`` corrects it."""
    n, folds = len(change), min(first.folds, second.folds)
    ratio = max(first.overlap, second.overlap)
    # Of several folds each holds its share of the images; a single cut holds all that were judged.
    held = n if folds == 1 else n * ratio / (1 + ratio)
    overlap = (1 / folds + ratio) * n / max(held, 1.0)
    return math.sqrt(overlap) * image_error(change)


def image_error(change: NDArray[np.float64]) -> float:
    """Return the standard error of a mean difference over independent images.

    Half an image more than came is thought to differ, so that few never prove equality.
    """
    n = len(change)
    variance = (float((change**2).sum()) + 0.5) / (n + 1) - float(change.mean()) ** 2
    return math.sqrt(max(variance, 0.0) / n)
