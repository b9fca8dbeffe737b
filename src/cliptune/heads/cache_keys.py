"""A cache's keys: how they are built, what they add to logits, and their training.

It knows nothing about validation, or about how much the cache weighs in the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray, row_chunks
from cliptune.heads.autograd import accumulate_by_autograd
from cliptune.heads.contract import FitData
from cliptune.heads.optimizers import Parameters
from cliptune.heads.stack_run import read_rows

__all__ = ["BETAS", "USUAL_SHOTS", "CacheStack", "affinities", "affinity_factor", "make_keys"]

# How sharply closeness falls off: what is tried.
BETAS = (1.0, 2.0, 3.5, 5.5, 8.0, 12.0, 18.0, 27.0, 40.0)
USUAL_SHOTS = 16  # the most keys a class that the source keeps


def make_keys(
    data: FitData, *, groups: int | None, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return keys (n, D) and their labels (n,) in class order.

    Args:
        data: Training rows.
        groups: Average each class's rows in at most that many random groups; None keeps all.
        seed: Of the groups.
    """
    rng = np.random.default_rng(seed)
    keys: list[NDArray[np.float32]] = []
    labels: list[int] = []
    for label, count in enumerate(data.class_counts):
        rows = data.X[np.flatnonzero(data.y == label)].astype(np.float32)
        if groups is not None and count > groups:
            parts = np.array_split(rng.permutation(count), groups)
            rows = np.stack([rows[part].mean(axis=0) for part in parts])
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        keys.append(rows)
        labels += [label] * len(rows)
    return np.concatenate(keys), np.asarray(labels)


def affinities(
    X: FloatArray,
    keys: NDArray[np.float32],
    labels: NDArray[np.int64],
    betas: Sequence[float],
    n_classes: int,
) -> NDArray[np.float32]:
    """Return n mean_{i in c} exp(-beta (1 - x . k_i)) per beta, float32 (len(betas), N, C).

    n is min(mean number of keys a class, 16). A class without keys has 0.
    """
    counts = np.bincount(labels, minlength=n_classes)
    present = np.flatnonzero(counts)
    starts = np.concatenate([[0], np.cumsum(counts[present])[:-1]])
    factor = affinity_factor(counts) / counts[present].astype(np.float32)
    found = np.zeros((len(betas), len(X), n_classes), dtype=np.float32)
    stored = torch.from_numpy(keys)
    for part in row_chunks(len(X), bytes_per_row=4 * 2 * len(keys)):
        distances = 1 - read_rows(X, part) @ stored.T
        for place, beta in enumerate(betas):
            closeness = torch.exp(-beta * distances).numpy()
            sums = np.add.reduceat(closeness, starts, axis=1)
            found[place, part][:, present] = sums * factor
    return found


class CacheStack:
    """M caches with trainable keys; logits are s x . t + alpha n mean exp(-beta (1 - x . k)).

    Args:
        keys: float32 (n, D), where the keys start.
        labels: int64 (n,).
        text_rows: float32 (C, D).
        scale: s.
        weights: alpha and beta.
    """

    def __init__(
        self,
        keys: NDArray[np.float32],
        labels: NDArray[np.int64],
        text_rows: NDArray[np.float32],
        scale: float,
        *,
        weights: tuple[float, float],
    ) -> None:
        counts = np.bincount(labels, minlength=len(text_rows))
        values = np.zeros((len(keys), len(text_rows)), dtype=np.float32)
        values[np.arange(len(keys)), labels] = affinity_factor(counts) / counts[labels]
        self._keys, self._texts = torch.tensor(keys), scale * torch.tensor(text_rows)
        self._alpha, self._beta = weights
        self._values = self._alpha * torch.from_numpy(values)

    def start(self, seed: int) -> Parameters:
        """Return the keys; nothing is random."""
        del seed
        return {"keys": self._keys[None].clone()}

    def accumulate(
        self,
        parameters: Parameters,
        X: torch.Tensor,
        y: torch.Tensor,
        into: Parameters,
        *,
        beta: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradient, by automatic differentiation."""
        return accumulate_by_autograd(self.logits, parameters, X, y, into, beta=beta)

    def logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return (M, n, C)."""
        cosines = X @ parameters["keys"].transpose(1, 2)
        return X @ self._texts.T + torch.exp(self._beta * (cosines - 1)) @ self._values

    def bytes_per_row(self) -> int:
        """Return about the bytes of a row's cosines and logits, and of their gradients."""
        return 4 * 4 * sum(self._values.shape)

    def heads_at_once(self, n_rows: int) -> None:
        """Return that one product over all heads is best."""


def affinity_factor(counts: NDArray[np.int64]) -> np.float32:
    """Return n, by which a mean over a class's keys counts like a sum over the usual number."""
    return np.float32(min(counts.mean(), USUAL_SHOTS))
