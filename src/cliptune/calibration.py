"""From scores to probabilities that mean something: a temperature and a threshold.

It sees validation labels and probabilities only, never a model and never a test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.metrics import wilson_interval

__all__ = ["Threshold", "apply_temperature", "choose_threshold", "fit_temperature"]

_LOG_RANGE = 5.0  # temperatures from exp(-5) to exp(5): beyond, probabilities are 0 and 1 or equal


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Return the temperature with the lowest mean negative log-probability of the labels.

    Temperature scaling, Guo et al., arXiv:1706.04599, section 4.2: one positive number divides
    all logits, so no decision changes.

    Args:
        logits: (N, C) of validation images.
        labels: int (N,), values 0..C-1.

    Raises:
        InputError: There is no image to fit on.
    """
    from scipy.optimize import minimize_scalar

    if len(labels) == 0:
        raise InputError("no validation image came; calibration needs labelled images")
    wide = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = np.log(apply_temperature(wide, float(np.exp(log_temperature))) + 1e-300)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(-_LOG_RANGE, _LOG_RANGE), method="bounded")
    return float(np.exp(found.x)) if loss(found.x) < loss(0.0) else 1.0


def apply_temperature(logits: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float64]:
    """Return softmax(logits / temperature), float64 (N, C)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    probabilities: NDArray[np.float64] = scaled / scaled.sum(axis=1, keepdims=True)
    return probabilities


@dataclass(frozen=True)
class Threshold:
    """When to answer and when to abstain.

    Attributes:
        probability: Answer where the top class has at least this probability.
        precision: Share of right answers among those given, on validation.
        low: Lower end of its 95 % Wilson interval.
        high: Upper end of it.
        coverage: Share of images that are answered, on validation.
        n: Validation images that are answered.
    """

    probability: float
    precision: float
    low: float
    high: float
    coverage: float
    n: int


def choose_threshold(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], *, precision: float
) -> Threshold | None:
    """Return the lowest threshold whose answers reach a precision on validation.

    Args:
        probabilities: (N, C), calibrated.
        labels: int (N,), values 0..C-1.
        precision: The share of right answers that is wanted, in (0, 1].

    Returns:
        The threshold that answers most images, or None where no threshold reaches it.
    """
    if not 0 < precision <= 1:
        raise InputError(f"precision {precision} came; expected a share above 0 and up to 1")
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == labels)[order])
    answered = np.arange(1, len(labels) + 1)
    ordered = confidence[order]
    # A threshold takes all images of one confidence or none: only the last of each counts.
    is_last = np.append(ordered[1:] < ordered[:-1], True)
    reached = np.flatnonzero(is_last & (right / answered >= precision))
    if not len(reached):
        return None
    last = int(reached[-1])
    n_right, n = int(right[last]), int(answered[last])
    low, high = wilson_interval(n_right, n)
    return Threshold(float(ordered[last]), n_right / n, low, high, n / len(labels), n)
