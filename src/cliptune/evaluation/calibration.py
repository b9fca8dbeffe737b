"""From scores to probabilities that mean something: a temperature and a threshold.

It sees labels and logits of held-out images only, never a model and never a test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.evaluation.metrics import wilson_interval
from cliptune.heads.arrays import log_loss
from cliptune.heads.choice import best_temperature

__all__ = ["Threshold", "apply_temperature", "choose_threshold", "fit_temperature"]


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Return a temperature that makes probabilities honest on rows that were held out.

    That of ``best_temperature``, which smooths the targets; and 1 wherever it would not lower
    the plain log-loss of the same rows: calibrated is never worse there than uncalibrated.

    Args:
        logits: (N, C) of images that the head has not learned from.
        labels: int (N,), values 0..C-1.

    Raises:
        InputError: There is no image to fit on.
    """
    if len(labels) == 0:
        raise InputError("no held-out image came; calibration needs labelled images")
    temperature, _ = best_temperature(logits, labels)
    lower = log_loss(logits / temperature, labels) < log_loss(logits, labels)
    return temperature if lower else 1.0


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
