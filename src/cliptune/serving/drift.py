"""Drift: whether what is served looks like what a run was trained on. Numbers only.

It keeps sums, no image and no embedding. It knows embeddings and class counts, not where they come
from.

The running mean of served embeddings is held against the training images' along their leading
principal axes, where the training covariance is diagonal: under no drift the squared differences,
each over its variance, add up to chi-squared (Hotelling's test with a known covariance). Class
shares are held against each other by Pearson's chi-squared test of two samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DriftMeter", "DriftReport", "Reference", "TwoSampleTest", "make_reference"]

_AXES = 16
_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Reference:
    """The training images in numbers.

    Attributes:
        n: Images.
        mean: float64 (D,), of their embeddings.
        axes: float64 (K, D), the leading principal axes, unit rows.
        variances: float64 (K,), along them.
        class_counts: int64 (C,).
    """

    n: int
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    class_counts: NDArray[np.int64]


@dataclass(frozen=True)
class TwoSampleTest:
    """A statistic, chi-squared under no drift, and its p-value."""

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class DriftReport:
    """What was served beside what was trained on.

    Attributes:
        n_served: Images since the run was opened.
        n_training: Images of the reference.
        distance: Between the mean embeddings.
        embedding: Test of the means; None before two images.
        classes: Test of the class shares; None before two images.
        served_shares: Of the answered classes, (C,).
        training_shares: Of the training labels, (C,).
    """

    n_served: int
    n_training: int
    distance: float
    embedding: TwoSampleTest | None
    classes: TwoSampleTest | None
    served_shares: tuple[float, ...]
    training_shares: tuple[float, ...]


def make_reference(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int
) -> Reference:
    """Summarise training embeddings (N, D) and their labels (N,)."""
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    _, singular, axes = np.linalg.svd(wide - mean, full_matrices=False)
    variances = singular**2 / max(1, len(wide) - 1)
    kept = min(_AXES, int((variances > 1e-12).sum()))
    counts = np.bincount(labels, minlength=n_classes)
    return Reference(len(wide), mean, axes[:kept], variances[:kept], counts)


class DriftMeter:
    """Sums over what a run has answered.

    Args:
        reference: What it is held against.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._n = 0
        self._sum = np.zeros_like(reference.mean)
        self._counts = np.zeros_like(reference.class_counts)

    def add(self, embedding: NDArray[np.float32], chosen: int) -> None:
        """Count one image: its embedding (D,) and the class that was answered."""
        self._n += 1
        self._sum += embedding
        self._counts[chosen] += 1

    def report(self) -> DriftReport:
        """Return both tests as they stand."""
        reference, n = self._reference, self._n
        apart = self._sum / max(1, n) - reference.mean
        enough = n >= _FEWEST
        return DriftReport(
            n_served=n,
            n_training=reference.n,
            distance=float(np.linalg.norm(apart)) if n else 0.0,
            embedding=_test_means(reference, apart, n) if enough else None,
            classes=_test_shares(self._counts, reference.class_counts) if enough else None,
            served_shares=_shares(self._counts),
            training_shares=_shares(reference.class_counts),
        )


def _shares(counts: NDArray[np.int64]) -> tuple[float, ...]:
    return tuple((counts / max(1, counts.sum())).tolist())


def _test_means(reference: Reference, apart: NDArray[np.float64], n: int) -> TwoSampleTest:
    along = reference.axes @ apart
    variances = reference.variances * (1 / n + 1 / reference.n)
    return _chi_squared(float((along**2 / variances).sum()), len(along))


def _test_shares(*samples: NDArray[np.int64]) -> TwoSampleTest:
    table = np.stack(samples).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return _chi_squared(float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1)


def _chi_squared(statistic: float, degrees: int) -> TwoSampleTest:
    from scipy.special import chdtrc

    return TwoSampleTest(statistic, degrees, float(chdtrc(degrees, statistic)) if degrees else 1.0)
