"""The nearest-neighbour head: training rows vote by cosine.

It knows nothing about texts; all training rows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.errors import CheckpointError, InputError
from cliptune.heads.arrays import FloatArray, row_chunks
from cliptune.heads.base import BaseHead
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.contract import (
    FitData,
    require_every_class,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.saved import check_stored_labels
from cliptune.heads.stack_run import read_rows

__all__ = ["COUNTS", "NeighborsHead", "vote"]

V = TypeVar("V")

COUNTS = (1, 3, 5, 10, 20, 50, 100, 200)
_USUAL_COUNT = 20  # arXiv:2104.14294, section 4.1: best of 10, 20, 100 and 200 for all its models
_TEMPERATURE = 0.07  # arXiv:1805.01978, section 3.4
MOST_BYTES = 64 << 20  # of rows that leave with a graph


@dataclass(eq=False)
class NeighborsHead(BaseHead):
    """Weighted votes of the k nearest training rows.

    Row i of the k nearest votes for its class with exp((cos_i - cos_1) / 0.07); logits are the
    logarithms of the shares of votes, with one vote spread evenly over the classes so that they
    stay finite. Wu et al., arXiv:1805.01978, section 3.4; the spread vote is ours.

    Args:
        k: Number of neighbours. None chooses it by validation log-loss, and without validation
            rows takes 20, or the mean number of rows a class where that is smaller.

    Attributes:
        classes_: int64 (C,).
        rows_: float32 (N, D), the training rows.
        labels_: int64 (N,).
        k_: Neighbours used.
        n_parameters_: 0, rows are stored, not fitted.
        history_: Empty, there is no training.
    """

    name: ClassVar[str] = "knn"
    rank: ClassVar[int] = 70
    compared: ClassVar[bool] = True
    keeps_images: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"rows": 2, "labels": 1, "k": 1}

    k: int | None = None

    rows_: NDArray[np.float32] = field(init=False, repr=False)
    labels_: NDArray[np.int64] = field(init=False, repr=False)
    k_: int = field(init=False, repr=False)

    def _learn(self, data: FitData) -> object:
        """Keep the rows and choose k."""
        require_every_class(data, self.name)
        if self.k is not None and not 1 <= self.k <= len(data.y):
            raise InputError(f"k is {self.k}; expected 1 to the {len(data.y)} training rows")
        rows = np.array(data.X, dtype=np.float32)
        return self._set(rows, data.y, _choose_count(self.k, data, rows))

    def _row_length(self) -> int:
        return int(self.rows_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        cosines, labels = _nearest(rows, self.rows_, self.labels_, count=self.k_)
        return vote(cosines, labels, n_classes=len(self.classes_))

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators with the stored rows among them.

        Raises:
            InputError: There are too many rows.
        """
        if self.rows_.nbytes > MOST_BYTES:
            raise InputError(
                f"knn keeps {len(self.rows_)} rows, {self.rows_.nbytes >> 20} MiB; at most "
                f"{MOST_BYTES >> 20} MiB leave with a graph; fit another method, such as 'linear'"
            )
        n_classes = len(self.classes_)
        cosines, places = ops.largest(affine(ops, rows, self.rows_), self.k_)
        nearest = ops.part(cosines, 1, 0, 1)
        behind = ops.add(cosines, ops.multiply(nearest, ops.constant(np.array([-1.0]))))
        weights = ops.exp(ops.divide(behind, ops.constant(np.array([_TEMPERATURE]))))
        labels = ops.reshape(ops.take(ops.constant(self.labels_), places), (-1, self.k_, 1))
        chosen = ops.equal(labels, ops.constant(np.arange(n_classes)))
        summed = ops.matmul(ops.reshape(weights, (-1, 1, self.k_)), chosen)
        prior = ops.constant(np.array([1 / n_classes]))
        votes = ops.add(ops.reshape(summed, (-1, n_classes)), prior)
        return ops.log(ops.divide(votes, ops.total(votes)))

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        return {"rows": self.rows_, "labels": self.labels_, "k": np.array([self.k_])}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        n_rows, k = len(arrays["rows"]), int(arrays["k"][0])
        check_stored_labels(arrays["labels"], n_rows=n_rows, n_classes=n_rows)
        if k > n_rows:
            raise CheckpointError(f"saved k is {k} of {n_rows} rows; fit the head again")
        return self._set(arrays["rows"], arrays["labels"], k)

    def _set(self, rows: NDArray[np.float32], labels: NDArray[np.int64], k: int) -> Self:
        # Every class has rows, so that the largest label shows their number.
        self.classes_ = np.arange(labels.max() + 1)
        self.rows_, self.labels_, self.k_ = rows, labels, k
        self.n_parameters_ = 0
        self.history_ = ()
        return self


def _choose_count(k: int | None, data: FitData, rows: NDArray[np.float32]) -> int:
    if k is not None:
        return k
    if data.validation is None:
        return max(1, min(_USUAL_COUNT, len(data.y) // data.n_classes))
    X, y = data.validation
    counts = [count for count in COUNTS if count <= len(data.y)]
    cosines, labels = _nearest(X, rows, data.y, count=counts[-1])
    losses = [
        calibrated_log_loss(
            vote(cosines[:, :count], labels[:, :count], n_classes=data.n_classes), y
        )
        for count in counts
    ]
    return counts[int(np.argmin(losses))]


def _nearest(
    X: FloatArray, rows: NDArray[np.float32], labels: NDArray[np.int64], *, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return cosines and labels of the nearest rows, nearest first, each (N, count)."""
    stored = torch.from_numpy(rows)
    cosines = np.empty((len(X), count), dtype=np.float32)
    nearest = np.empty((len(X), count), dtype=np.int64)
    for part in row_chunks(len(X), bytes_per_row=4 * len(rows)):
        found = torch.topk(read_rows(X, part) @ stored.T, count, dim=1)
        cosines[part], nearest[part] = found.values.numpy(), labels[found.indices.numpy()]
    return cosines, nearest


def vote(
    cosines: NDArray[np.float32], labels: NDArray[np.int64], *, n_classes: int
) -> NDArray[np.float32]:
    """Return logits, float32 (N, C), from the cosines and labels of the nearest, each (N, k)."""
    weights = np.exp((cosines - cosines[:, :1]) / _TEMPERATURE)
    votes = np.full((len(cosines), n_classes), 1 / n_classes, dtype=np.float64)
    np.add.at(votes, (np.arange(len(cosines))[:, None], labels), weights)
    shares: NDArray[np.float32] = np.log(votes / votes.sum(axis=1, keepdims=True)).astype("f4")
    return shares
