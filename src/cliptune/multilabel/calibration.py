"""From scores to probabilities and to what is said: a slope, an offset and a threshold a class.

All three are learned from answers for images that the scores had not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "fit_calibration", "fit_thresholds"]

_STEPS = 50
_PRIOR = 1.0  # strength of the pull towards the scores' own spread, in images
_FEW = 5  # images of a class: its threshold is then that of all


@dataclass(frozen=True)
class Calibration:
    """How scores become answers.

    Attributes:
        slope: float64 (C,), above 0.
        offset: float64 (C,).
        threshold: float64 (C,), the probability from which on a class is said.
    """

    slope: NDArray[np.float64]
    offset: NDArray[np.float64]
    threshold: NDArray[np.float64]

    def probabilities(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return float64 (N, C), each class on its own."""
        return _sigmoid(scores * self.slope + self.offset)

    def said(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return bool (N, C): which classes are said."""
        reached: NDArray[np.bool_] = probabilities >= self.threshold
        return reached


def fit_calibration(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> Calibration:
    """Learn slopes and offsets by Platt's method, and thresholds of the largest F1.

    Platt scaling (Advances in Large Margin Classifiers, 2000) with his smoothed targets, one fit
    a class by Newton's method; a slope is pulled towards the one that gives scores the spread of
    all classes, so that a class of few images gets an ordinary one, and is never below 0.

    Args:
        scores: float64 (N, C), for images that the scorer had not seen.
        truth: bool (N, C).
    """
    slope, offset = _platt(scores, truth)
    probabilities = _sigmoid(scores * slope + offset)
    return Calibration(slope, offset, fit_thresholds(probabilities, truth))


def fit_thresholds(
    probabilities: NDArray[np.float64], truth: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the thresholds of the largest F1 of each class, half-way between two answers.

    Classes of fewer than five images take the threshold of the largest F1 over all answers.
    """
    shared = _best_cut(probabilities.ravel(), truth.ravel())
    few = truth.sum(axis=0) < _FEW
    return np.array(
        [
            shared if few[c] else _best_cut(probabilities[:, c], truth[:, c])
            for c in range(truth.shape[1])
        ]
    )


def _best_cut(probabilities: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    best = int(ends[np.argmax(f1[ends])])
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float((ordered[best] + below) / 2)


def _platt(
    scores: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, positive = len(scores), truth.sum(axis=0)
    high = (positive + 1) / (positive + 2)
    low = 1 / (n - positive + 2)
    target = np.where(truth, high, low)
    centre, spread = scores.mean(axis=0), float(scores.std()) or 1.0
    z = (scores - centre) / spread
    share = np.clip(target.mean(axis=0), 1e-6, 1 - 1e-6)
    a, b = np.ones(scores.shape[1]), np.log(share / (1 - share))
    for _ in range(_STEPS):
        p = _sigmoid(a * z + b)
        residual, curvature = p - target, np.maximum(p * (1 - p), 1e-9)
        ga = (residual * z).sum(axis=0) + _PRIOR * (a - 1)
        gb = residual.sum(axis=0)
        haa = (curvature * z * z).sum(axis=0) + _PRIOR
        hab, hbb = (curvature * z).sum(axis=0), curvature.sum(axis=0)
        determinant = haa * hbb - hab**2
        step_a = (hbb * ga - hab * gb) / determinant
        step_b = (haa * gb - hab * ga) / determinant
        a = np.maximum(a - np.clip(step_a, -1, 1), 1e-3)
        b = b - np.clip(step_b, -2, 2)
        if max(np.abs(step_a).max(), np.abs(step_b).max()) < 1e-9:
            break
    return a / spread, b - a * centre / spread


def _sigmoid(z: NDArray[np.floating]) -> NDArray[np.float64]:
    half: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * z.astype(np.float64)))
    return half
