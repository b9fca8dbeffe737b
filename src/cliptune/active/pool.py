"""The images that labels are sought for, and what is known of them.

It knows arrays, and nothing about where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelPool", "spread_columns"]

_COLUMNS = 64  # of the plane in which images are spread; more only bring noise
_SAMPLED = 20_000  # images by which the columns are found


@dataclass(frozen=True)
class LabelPool:
    """Images to learn from, labelled or not; none of a locked test.

    Attributes:
        features: float32 (N, E), one row an image, of any scale.
        labels: int64 (N,), the class, -1 where it is not known.
        open: bool (N,), which may be proposed.
        probabilities: float64 (N, C), what is believed of each now.
        seed: Of whatever is drawn.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    open: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    seed: int = 0

    @cached_property
    def spread(self) -> NDArray[np.float32]:
        """The images in few columns, float32 (N, M), in which distances are compared."""
        return spread_columns(self.features, self.seed)

    @property
    def margins(self) -> NDArray[np.float64]:
        """By how much the most probable class leads over the next, float64 (N,)."""
        top = -np.partition(-self.probabilities, min(1, self.probabilities.shape[1] - 1), axis=1)
        margins: NDArray[np.float64] = top[:, 0] - top[:, 1] if top.shape[1] > 1 else top[:, 0]
        return margins


def spread_columns(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return rows in their first principal columns, float32 (N, M), at a mean squared norm of 1."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    n = len(features)
    some = features if n <= _SAMPLED else features[rng.choice(n, _SAMPLED, replace=False)]
    if not np.ptp(some, axis=0).any():
        return np.zeros((n, 1), np.float32)  # images that are all equal
    columns = min(_COLUMNS, len(some), features.shape[1])
    plane = PCA(columns, svd_solver="full" if len(some) < columns * 2 else "covariance_eigh")
    plane.fit(some)
    rows = plane.transform(features).astype(np.float32)
    scale = np.sqrt((rows**2).sum(axis=1).mean())
    spread: NDArray[np.float32] = rows / max(float(scale), 1e-9)
    return spread
