"""Arithmetic on logits and rows that several heads share: chunks, products, softmax, scores.

It knows nothing about heads or about what the rows stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FloatArray",
    "Labels",
    "accuracy",
    "log_loss",
    "project",
    "row_chunks",
    "sigmoid",
    "softmax",
]

FloatArray = NDArray[np.floating[Any]]  # Any: float16 to float64
Labels = NDArray[np.integer[Any]]  # Any: any width of integer

_CHUNK_BYTES = 64 << 20


def row_chunks(
    n_rows: int, *, bytes_per_row: int, chunk_bytes: int = _CHUNK_BYTES
) -> Iterator[slice]:
    """Cut 0..n_rows into slices of about ``chunk_bytes`` each, at least one row long."""
    step = max(1, chunk_bytes // max(1, bytes_per_row))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def project(X: FloatArray, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return X @ weight.T, float32 (N, C), reading X (N, D) of any float width in chunks."""
    products = np.empty((len(X), len(weight)), dtype=np.float32)
    for part in row_chunks(len(X), bytes_per_row=4 * X.shape[1]):
        np.matmul(np.asarray(X[part], dtype=np.float32), weight.T, out=products[part])
    return products


def softmax(logits: FloatArray) -> NDArray[np.float64]:
    """Turn logits (N, C) into probabilities (N, C) in double precision."""
    return np.exp(_log_softmax(logits))


def sigmoid(logits: FloatArray) -> NDArray[np.float64]:
    """Turn each logit into a probability of its own, 1 / (1 + exp(-x)), in double precision."""
    odds: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    return odds


def log_loss(logits: FloatArray, y: Labels) -> float:
    """Mean negative log-probability of the true class, in nats."""
    return float(-_log_softmax(logits)[np.arange(len(y)), y].mean())


def accuracy(logits: FloatArray, y: Labels) -> float:
    """Share of rows whose largest logit is that of the true class."""
    return float((logits.argmax(axis=1) == y).mean())


def _log_softmax(logits: FloatArray) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide
