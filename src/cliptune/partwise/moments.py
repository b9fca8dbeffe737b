"""Class counts, sums and second moments of rows, and the heads that these are enough for.

In double precision, so that it does not matter in which order or how many rows are added. It
knows no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.discriminant import DiscriminantHead, shrink, usual_shrinkage
from cliptune.heads.prototype import PrototypeHead, class_sums

__all__ = ["Moments", "discriminant_of", "prototype_of"]


@dataclass
class Moments:
    """What is known of the rows that were added.

    Attributes:
        counts: float64 (C,), rows of each class.
        sums: float64 (C, D), their sums.
        products: float64 (D, D), the sum of x x' over all rows.
    """

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def none(cls, n_classes: int, dim: int) -> Moments:
        """Return the moments of no row."""
        return cls(np.zeros(n_classes), np.zeros((n_classes, dim)), np.zeros((dim, dim)))

    def add(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Add rows (n, D) with labels int64 (n,), 0..C-1."""
        wide = rows.astype(np.float64)
        self.counts += np.bincount(labels, minlength=len(self.counts))
        self.sums += class_sums(wide, labels, len(self.counts))
        self.products += wide.T @ wide

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of the rows of both."""
        return Moments(
            self.counts + other.counts, self.sums + other.sums, self.products + other.products
        )

    @property
    def n(self) -> int:
        """Rows."""
        return round(float(self.counts.sum()))

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean row of every class, float64 (C, D); zeros for a class without rows."""
        return self.sums / np.maximum(self.counts, 1)[:, None]

    @property
    def within(self) -> NDArray[np.float64]:
        """The covariance within classes, float64 (D, D)."""
        means = self.means
        found: NDArray[np.float64] = (
            self.products - (means * self.counts[:, None]).T @ means
        ) / self.n
        return found

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean row, float64 (D,)."""
        found: NDArray[np.float64] = self.sums.sum(axis=0) / self.n
        return found

    @property
    def covariance(self) -> NDArray[np.float64]:
        """The covariance of all rows, float64 (D, D)."""
        mean = self.mean
        found: NDArray[np.float64] = self.products / self.n - np.outer(mean, mean)
        return found


def prototype_of(moments: Moments, logit_scale: float) -> PrototypeHead:
    """Return the head that ``PrototypeHead.fit`` makes of the same rows."""
    means = moments.means
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    rows = (means / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return PrototypeHead.from_state(
        {"features": "embedding"}, {"prototypes": rows, "logit_scale": np.array([logit_scale])}
    )


def discriminant_of(
    moments: Moments,
    settings: dict[str, Any],  # Any: arguments of the head
    *,
    text_rows: NDArray[np.float32],
    logit_scale: float,
) -> DiscriminantHead:
    """Return the head that ``DiscriminantHead.fit`` makes of the same rows.

    Args:
        moments: Of rows of every class.
        settings: ``shrinkage``, ``mix`` and ``text``.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
    """
    from scipy.linalg import cho_factor, cho_solve

    head = DiscriminantHead(**settings)
    means, dim = moments.means, moments.sums.shape[1]
    shrinkage = usual_shrinkage(moments.n, dim, head.shrinkage)
    covariance = shrink(moments.within, means, shrinkage, dim)
    solved = cho_solve(cho_factor(covariance), means.T).T
    weight = solved.astype(np.float32)
    bias = (-0.5 * (solved * means).sum(axis=1)).astype(np.float32)
    mix = head.mix if head.text > 0 else 1.0
    if head.text > 0:
        weight = np.float32(mix) * weight + np.float32(head.text * logit_scale) * text_rows
        bias = np.float32(mix) * bias
    return DiscriminantHead.from_state(
        head.get_params(), {"weight": weight, "bias": bias, "mix": np.array([mix])}
    )
