"""The prototype head: a class is the mean of its rows.

It knows nothing about texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray, row_chunks
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import (
    FeatureChoice,
    FitData,
    Needs,
    learned_columns,
    needs_of_features,
    require_every_class,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.zero_shot import zero_shot_logits

__all__ = ["PrototypeHead", "class_means", "class_sums"]

V = TypeVar("V")


def class_means(data: FitData) -> NDArray[np.float64]:
    """Return the mean row of every class, float64 (C, D); zeros for a class without rows."""
    sums = np.zeros((data.n_classes, data.dim))
    for part in row_chunks(len(data.X), bytes_per_row=8 * data.dim):
        soft = None if data.soft is None else data.soft[part]
        sums += class_sums(data.X[part], data.y[part], data.n_classes, soft=soft)
    sizes = data.class_sizes
    return sums / np.where(sizes > 0, sizes, 1)[:, None]


def class_sums(
    rows: FloatArray,
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    soft: NDArray[np.float32] | None = None,
) -> NDArray[np.float64]:
    """Return the sum of every class's rows, float64 (C, D).

    Args:
        rows: (N, D).
        labels: int64 (N,), 0..C-1.
        n_classes: C.
        soft: float32 (N, C), what each row counts for each class, in place of the labels.
    """
    from scipy.sparse import csr_array

    wide = rows.astype(np.float64)
    if soft is not None:
        weighed: NDArray[np.float64] = soft.T.astype(np.float64) @ wide
        return weighed
    entries = (np.ones(len(labels)), (labels, np.arange(len(labels))))
    members = csr_array(entries, shape=(n_classes, len(labels)))
    sums: NDArray[np.float64] = np.asarray(members @ wide)
    return sums


@dataclass(eq=False)
class PrototypeHead(BaseHead):
    """Cosine to the class means: nearest class mean, as in arXiv:1703.05175, section 2.4.

    Departure: cosine with the encoder's logit scale instead of the squared distance; on unit
    rows both order the classes alike up to the lengths of the means.

    Args:
        features: ``embedding``, ``penultimate`` or ``both``: what is averaged.

    Attributes:
        classes_: int64 (C,).
        prototypes_: float32 (C, D), or (C, D + E), unit rows.
        logit_scale_: Factor on cosines.
        n_parameters_: C D.
        history_: Empty, there is no training.
    """

    name: ClassVar[str] = "prototype"
    rank: ClassVar[int] = 10
    compared: ClassVar[bool] = True
    learns_from: ClassVar[Needs] = "trunk"
    takes_soft_labels: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"prototypes": 2, "logit_scale": 1}

    features: FeatureChoice = "embedding"

    prototypes_: NDArray[np.float32] = field(init=False, repr=False)
    logit_scale_: float = field(init=False, repr=False)

    @property
    def needs(self) -> Needs:
        """``pooled`` rows (N, D), or ``trunk`` rows (N, D + E) for other features."""
        return needs_of_features(self.features)

    def _learn(self, data: FitData) -> object:
        """Average."""
        require_every_class(data, self.name)
        means = class_means(data)
        if self.features == "penultimate":
            means[:, : learned_columns(data, self.features, self.name).start] = 0
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        prototypes = (means / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return self._set(prototypes, data.logit_scale)

    def _row_length(self) -> int:
        return int(self.prototypes_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        return zero_shot_logits(rows, self.prototypes_, self.logit_scale_)

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators."""
        return affine(ops, rows, np.float32(self.logit_scale_) * self.prototypes_)

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        scale = np.array([self.logit_scale_])
        return {"prototypes": self.prototypes_, "logit_scale": scale}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        return self._set(arrays["prototypes"], float(arrays["logit_scale"][0]))

    def _set(self, prototypes: NDArray[np.float32], logit_scale: float) -> Self:
        self.classes_ = np.arange(len(prototypes))
        self.prototypes_, self.logit_scale_ = prototypes, logit_scale
        self.n_parameters_ = prototypes.size
        self.history_ = ()
        return self
