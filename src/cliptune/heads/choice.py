"""Choosing between logits on validation rows.

It knows nothing about what the candidates are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray, log_loss

__all__ = ["calibrated_log_loss"]


def calibrated_log_loss(logits: FloatArray, y: NDArray[np.int64]) -> float:
    """Return the log-loss of logits (N, C) after the temperature that suits them best.

    A classifier's temperature is fitted after its head, so a candidate must not lose for being
    too sure of itself; and unlike accuracy the log-loss has no ties on few rows.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda power: log_loss(np.float32(2.0**power) * logits, y),
        bounds=(-8, 6),
        method="bounded",
        options={"xatol": 0.1},
    )
    return float(found.fun)
