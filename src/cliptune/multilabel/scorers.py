"""One score a class: weights and an offset for each, from features, from means or from texts.

It knows arrays and no encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LinearScorer", "fit_discriminant", "fit_linear", "from_texts"]

_ITERATIONS = 100


@dataclass(frozen=True)
class LinearScorer:
    """Scores of C classes that know nothing of each other.

    Attributes:
        weight: float32 (D, C).
        offset: float32 (C,).
    """

    weight: NDArray[np.float32]
    offset: NDArray[np.float32]

    def score(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return log-odds, uncalibrated: float64 (N, C) of features (N, D)."""
        scores: NDArray[np.float64] = (X @ self.weight + self.offset).astype(np.float64)
        return scores


def from_texts(text_rows: NDArray[np.float32], logit_scale: float) -> LinearScorer:
    """Score by scaled cosines with class texts (C, D), without learning from any image."""
    weight = np.ascontiguousarray(logit_scale * text_rows.T, dtype=np.float32)
    return LinearScorer(weight, np.zeros(len(text_rows), np.float32))


def fit_discriminant(X: NDArray[np.float32], truth: NDArray[np.bool_]) -> LinearScorer:
    """Tell each class from the rest by its mean, under one covariance of all images.

    Linear discriminants, one against the rest; the covariance is shrunken as Ledoit and Wolf do
    (Journal of Multivariate Analysis 88, 2004).

    Args:
        X: (N, D).
        truth: bool (N, C); a class that all or no images have scores 0.
    """
    from sklearn.covariance import ledoit_wolf

    centre = X.mean(axis=0)
    covariance, _ = ledoit_wolf(X - centre, assume_centered=True)
    n = truth.sum(axis=0).astype(np.float64)
    rest = len(X) - n
    fits = (n > 0) & (rest > 0)
    sums = truth.T.astype(np.float64) @ (X - centre)
    mean_in = sums / np.maximum(n, 1)[:, None]
    mean_out = -sums / np.maximum(rest, 1)[:, None]
    weight = np.linalg.solve(covariance, (mean_in - mean_out).T) * fits
    middle = (mean_in + mean_out) / 2
    prior = np.log(np.maximum(n, 0.5) / np.maximum(rest, 0.5))
    offset = prior - (middle * weight.T).sum(axis=1) - centre @ weight
    return LinearScorer(weight.astype(np.float32), offset.astype(np.float32))


def fit_linear(
    X: NDArray[np.float32], truth: NDArray[np.bool_], penalties: Sequence[float]
) -> list[LinearScorer]:
    """Fit one logistic regression a class for each penalty, strongest first, each from the last.

    Minimises the mean over images of the binary cross-entropy plus half the penalty times the
    squared weights; offsets are free.

    Args:
        X: (N, D).
        truth: bool (N, C).
        penalties: In the order of the fits.
    """
    from scipy.optimize import minimize

    n, (d, c) = len(X), (X.shape[1], truth.shape[1])
    target = truth.astype(np.float64)
    share = np.clip(target.mean(axis=0), 0.5 / n, 1 - 0.5 / n)
    start = np.concatenate([np.zeros(d * c), np.log(share / (1 - share))])
    rows = np.ascontiguousarray(X, dtype=np.float32)

    def objective(flat: NDArray[np.float64], penalty: float) -> tuple[float, NDArray[np.float64]]:
        weight, offset = flat[: d * c].reshape(d, c), flat[d * c :]
        z = (rows @ weight.astype(np.float32)).astype(np.float64) + offset
        loss = (np.logaddexp(0.0, z) - target * z).sum() / n
        residual = (1 / (1 + np.exp(-z)) - target) / n
        gradient = rows.T @ residual.astype(np.float32) + penalty * weight
        loss += penalty / 2 * float((weight**2).sum())
        return float(loss), np.concatenate([gradient.ravel(), residual.sum(axis=0)])

    found = []
    for penalty in penalties:
        done = minimize(
            objective, start, args=(penalty,), jac=True, method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "maxcor": 20, "ftol": 1e-7, "gtol": 1e-6},
        )  # fmt: skip
        start = done.x
        weight = start[: d * c].reshape(d, c).astype(np.float32)
        found.append(LinearScorer(weight, start[d * c :].astype(np.float32)))
    return found
