"""What more labels are worth: a learning curve on the labels there are, carried on.

It sees vectors and labels, and fits heads on parts of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.linear import LinearHead

__all__ = ["Gain", "expect_gain"]

_REPEATS = 8
_HELD_OUT = 0.25
_SHARES = (0.25, 0.5, 1.0)
_LEAST = 16  # labels below which no part of them says anything
_MOST = 3000  # labels that the curve is measured on
_STEEPEST = 1.0  # exponent of the error in the number of labels; no curve falls faster for long
_DRAWS = 400


@dataclass(frozen=True)
class Gain:
    """What some more labels are expected to add to accuracy.

    Attributes:
        labels: So many more.
        value: Accuracy that they add, as a share.
        low: Lower end of an interval of 90 %.
        high: Upper end of it.
        method: How it was found.
    """

    labels: int
    value: float
    low: float
    high: float
    method: str


def expect_gain(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    more: int,
    text_rows: NDArray[np.float32],
    logit_scale: float,
    seed: int = 0,
) -> Gain | None:
    """Measure how the error falls with labels, and carry it on to some more.

    Eight times a quarter of the labels is held out and a linear head is fitted on a quarter, a
    half and all of the rest. The error is taken to fall as b n^-c; the interval comes of drawing
    the repeats anew. Labels that were chosen are harder than others, so the error is that of such
    images, and the gain is of random labels: what is chosen well gives more.

    Args:
        vectors: float32 (n, D), labelled images.
        labels: int64 (n,), 0..C-1.
        more: How many more labels.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
        seed: Of the draws.

    Returns:
        The gain, or None where there are too few labels to measure a curve.
    """
    if len(labels) < _LEAST or len(np.unique(labels)) < 2 or more < 1:
        return None
    rng = np.random.default_rng(seed)
    if len(labels) > _MOST:
        some = rng.choice(len(labels), _MOST, replace=False)
        vectors, labels = vectors[some], labels[some]
    counts, errors = _measure(vectors, labels, text_rows, logit_scale, rng)
    now = len(labels)
    value = _fall(counts, errors.mean(axis=0), now, more)
    drawn = [
        _fall(counts, errors[rng.integers(0, len(errors), len(errors))].mean(axis=0), now, more)
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(drawn, (0.05, 0.95))
    return Gain(more, value, float(low), float(high), "error b n^-c on held-out labels")


def _measure(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    text_rows: NDArray[np.float32],
    logit_scale: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return numbers of labels (S,) and the error with so many in every repeat (R, S)."""
    n = len(labels)
    n_out = max(4, round(_HELD_OUT * n))
    counts = np.array([max(2, round(share * (n - n_out))) for share in _SHARES], dtype=np.float64)
    errors = np.empty((_REPEATS, len(counts)))
    for repeat in range(_REPEATS):
        order = rng.permutation(n)
        out, rest = order[:n_out], order[n_out:]
        for place, count in enumerate(counts.astype(int)):
            own = rest[:count]
            answers = np.full(n_out, labels[own[0]])  # what labels of one class can say
            if len(np.unique(labels[own])) > 1:
                head = LinearHead().fit(
                    vectors[own], labels[own], text_rows=text_rows, logit_scale=logit_scale
                )
                answers = head.predict_logits(vectors[out]).argmax(axis=1)
            errors[repeat, place] = (answers != labels[out]).mean()
    return counts, errors


def _fall(counts: NDArray[np.float64], errors: NDArray[np.float64], now: int, more: int) -> float:
    """Return how far the error falls from ``now`` labels with ``more`` of them."""
    logs = np.log(np.maximum(errors, 0.5 / (10 * counts[-1])))
    slope, start = np.polyfit(np.log(counts), logs, 1)
    exponent = float(np.clip(-slope, 0, _STEEPEST))
    error_now = float(np.exp(start + slope * np.log(now))) if exponent else float(errors[-1])
    return error_now * (1 - float((now / (now + more)) ** exponent))
