"""Classes of unlike sizes made to count alike: in what is minimised, or in what is answered.

It knows class counts and no head.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import UnknownNameError

__all__ = ["Balance", "balanced_weights", "check_balance", "log_prior"]

Balance = Literal["none", "loss", "prior"]


def check_balance(name: str) -> None:
    """Raise an UnknownNameError where there is no such way."""
    if name not in get_args(Balance):
        raise UnknownNameError("balance", name, get_args(Balance))


def balanced_weights(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Return what each row counts for all classes that occur to weigh alike, float32 (N,).

    N / (K n_c) for the K classes that occur, as scikit-learn's ``class_weight="balanced"`` has it;
    they are 1 on average.

    Args:
        labels: int64 (N,), 0..C-1.
        n_classes: C.
    """
    counts = np.bincount(labels, minlength=n_classes)
    share = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    weights: NDArray[np.float32] = share[labels].astype(np.float32)
    return weights


def log_prior(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Return the logarithm of each class's share, float32 (C,).

    A row more than came is thought to lie in every class, so that one without rows has a finite
    share. Taken off the logits of a model that was fitted by likelihood, what is left answers as
    if all classes were as common: post-hoc logit adjustment, Menon et al., arXiv:2007.07314,
    equation 9 with tau = 1.

    Args:
        labels: int64 (N,), 0..C-1, what was learned from.
        n_classes: C.
    """
    counts = np.bincount(labels, minlength=n_classes) + 1.0
    logs: NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return logs
