"""Choosing between logits on rows that were held out, at the temperature that suits each best.

It knows nothing about what the candidates are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray

__all__ = ["best_mixture", "best_temperature", "calibrated_log_loss"]

_LOG_RANGE = 10.0  # temperatures from exp(-10) to exp(10)
_SETTLED = 1e-5
_MAX_STEPS = 60


def calibrated_log_loss(logits: FloatArray, y: NDArray[np.int64]) -> float:
    """Return the smoothed log-loss of logits (N, C) at the temperature that suits them best.

    A classifier's temperature is fitted after its head, so a candidate must not lose for being
    too sure of itself. The smoothing (see ``best_temperature``) keeps candidates without an error
    on few rows apart: without it each could be made as sure as one likes, and the last bits of
    their losses would decide.
    """
    return best_temperature(logits, y)[1]


def best_temperature(logits: FloatArray, y: NDArray[np.int64]) -> tuple[float, float]:
    """Return the temperature with the lowest smoothed log-loss, and that loss.

    Temperature scaling (Guo et al., arXiv:1706.04599, section 4.2) with Platt's targets ("Prob-
    abilistic outputs for support vector machines", 1999, section 2.2) for C classes: among N rows
    one more is thought to be right and one wrong, so that the true class is wanted with
    probability (N + 1) / (N + 2) and the others share the rest. Where every row is right the
    likelihood alone has no minimum, and the temperature would run to its bound.

    The loss is convex in the inverse temperature; Newton's steps, kept within a shrinking bracket.

    Args:
        logits: (N, C).
        y: int64 (N,), 0..C-1.
    """
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    n, n_classes = wide.shape
    miss = 1 / (n + 2)
    true = wide[np.arange(n), y]
    rest = (wide.sum(axis=1) - true) / max(n_classes - 1, 1)
    wanted = float(((1 - miss) * true + miss * rest).mean())
    low, high, inverse = np.exp(-_LOG_RANGE), np.exp(_LOG_RANGE), 1.0
    for _ in range(_MAX_STEPS):
        loss, slope, curvature = _moments(wide, inverse, wanted)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        following = inverse - slope / curvature if curvature > 0 else low
        if not low < following < high:
            following = np.sqrt(low * high)
        if abs(np.log(following / inverse)) < _SETTLED:
            break
        inverse = following
    return float(1 / inverse), loss


def _moments(
    wide: NDArray[np.float64], inverse: float, wanted: float
) -> tuple[float, float, float]:
    """Return loss, slope and curvature at an inverse temperature; rows of logits have maximum 0."""
    weights = np.exp(inverse * wide)
    sums = weights.sum(axis=1)
    weights *= wide
    first = weights.sum(axis=1) / sums
    weights *= wide
    second = weights.sum(axis=1) / sums
    loss = float(np.log(sums).mean()) - inverse * wanted
    return loss, float(first.mean()) - wanted, float((second - first**2).mean())


def best_mixture(parts: Sequence[FloatArray], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weights, none below 0, with which logits are best added up.

    The smoothed log-loss of ``best_temperature``, which is that of one part: convex in the K
    weights. Newton's steps with a line search over the weights that are above 0; one that reaches
    0 stays there.

    Args:
        parts: K arrays of logits (N, C).
        y: int64 (N,), 0..C-1.

    Returns:
        float64 (K,).
    """
    stacked = np.stack([part - part.max(axis=1, keepdims=True) for part in parts])
    stacked = stacked.astype(np.float64)
    _, n, n_classes = stacked.shape
    miss = 1 / (n + 2)
    true = stacked[:, np.arange(n), y]
    rest = (stacked.sum(axis=2) - true) / max(n_classes - 1, 1)
    wanted = ((1 - miss) * true + miss * rest).mean(axis=1)
    singles = [best_temperature(part, y) for part in parts]
    weights = np.array([1 / temperature for temperature, _ in singles]) / len(parts)
    free = np.ones(len(parts), bool)
    loss, slope, curvature = _mixture_moments(stacked, weights, wanted)
    for _ in range(_MAX_STEPS):
        inner = curvature[np.ix_(free, free)] + 1e-12 * np.eye(int(free.sum()))
        step = np.zeros_like(weights)
        step[free] = -np.linalg.solve(inner, slope[free])
        following, length = weights, 1.0
        while length > 1e-6:
            following = np.maximum(weights + length * step, 0)
            found = _mixture_moments(stacked, following, wanted)
            if found[0] <= loss:
                break
            length /= 2
        moved = np.abs(following - weights).max() > _SETTLED * np.abs(weights).max()
        if length <= 1e-6 or not moved:
            break
        weights, (loss, slope, curvature) = following, found
        free = (weights > 0) | (slope < 0)
    return weights


def _mixture_moments(
    stacked: NDArray[np.float64], weights: NDArray[np.float64], wanted: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return loss, gradient (K,) and Hessian (K, K) of a mixture of logits (K, N, C)."""
    logits = np.tensordot(weights, stacked, axes=1)
    top = logits.max(axis=1, keepdims=True)
    shares = np.exp(logits - top)
    sums = shares.sum(axis=1, keepdims=True)
    shares /= sums
    loss = float((np.log(sums) + top).mean()) - float(weights @ wanted)
    means = np.einsum("nc,knc->kn", shares, stacked)
    second = np.einsum("nc,knc,lnc->kl", shares, stacked, stacked, optimize=True)
    n = stacked.shape[1]
    return loss, means.mean(axis=1) - wanted, second / n - means @ means.T / n
