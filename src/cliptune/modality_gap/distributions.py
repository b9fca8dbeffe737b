"""How far apart the two distributions are, how spread and of what dimension each is.

It knows nothing about single matched pairs. All sums run over pairs of distinct points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import wilson_interval
from cliptune.modality_gap.estimators import (
    gaussian_kernel,
    pair_mean,
    total_variance,
    unbiased_hsic,
)
from cliptune.modality_gap.measured import (
    Interval,
    Matrix,
    Measured,
    Space,
    as_measured,
    over_resamples,
)
from cliptune.modality_gap.separability import probe_modality

__all__ = [
    "measure_dimensions",
    "measure_discrepancy",
    "measure_separability",
    "measure_uniformity",
]


def measure_separability(space: Space, *, seed: int) -> dict[str, Measured]:
    """Balanced accuracy of a held-out linear probe between the modalities.

    The probe is fitted once a fold; resamples vary the held-out points only.
    """
    apart = space.set_apart()
    if apart.n_groups < 2:
        return {}
    right_images, right_texts = probe_modality(space.images, space.texts, apart, seed=seed)

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        weights = space.pairing.text_weights(counts)
        right = counts @ right_images + weights @ right_texts  # both weigh as much as the images
        return {"modality_separability": right / 2 / counts.sum(axis=1)}

    n = len(right_images) + len(right_texts)
    measured = as_measured(over_resamples(len(space.images), seed, statistic), n)
    name, number = measured.popitem()
    value = float(right_images.mean() + right_texts.mean()) / 2
    interval = _mean_interval(right_images, right_texts)
    return {name: replace(number, value=value, interval=interval)}


def _mean_interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Interval:
    """Combine the Wilson intervals of two shares into one of their mean.

    The method of variance estimates recovery (Zou and Donner, doi:10.1002/sim.3095). A
    bootstrap would give a probe that is right everywhere an interval without width.
    """
    means = first.mean(), second.mean()
    ends = [wilson_interval(int(side.sum()), len(side)) for side in (first, second)]
    below = np.hypot(*(mean - low for mean, (low, _) in zip(means, ends, strict=True))) / 2
    above = np.hypot(*(high - mean for mean, (_, high) in zip(means, ends, strict=True))) / 2
    middle = (means[0] + means[1]) / 2
    return float(middle - below), float(middle + above), "Wilson per modality, combined"


def measure_discrepancy(space: Space, *, seed: int) -> dict[str, Measured]:
    """Squared MMD, plain and between the centred modalities.

    A mean over pairs of *different groups* in all three of its terms. With captions that is the
    unbiased estimate from paired samples (Gretton et al., lemma 6); with classes it keeps apart
    what two images of a class share, for their texts have no such pair. The centroids that the
    centred one subtracts are those of the sample on every resample.
    """
    pairing, x, y = space.pairing, space.images.astype(np.float64), space.texts.astype(np.float64)
    apart = space.set_apart()
    of_x, of_y = apart.image_groups, apart.text_groups
    shares = np.full(len(x), 1 / len(x))
    text_shares = pairing.text_weights(shares[None])[0]
    distinct_shares = space.weigh_images(shares[None])[0], space.weigh_texts(shares[None])[0]
    within_x = _keep_apart(gaussian_kernel(x, x), of_x, of_x)
    within_y = _keep_apart(gaussian_kernel(y, y), of_y, of_y)
    # Centring leaves the distances within a modality as they are.
    across = {
        "mmd_squared": _keep_apart(gaussian_kernel(x, y), of_x, of_y),
        "mmd_squared_centred": _keep_apart(
            gaussian_kernel(
                _centre(x, shares, distinct_shares[0]), _centre(y, text_shares, distinct_shares[1])
            ),
            of_x,
            of_y,
        ),
    }

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        weights = pairing.text_weights(counts)
        within = ((counts @ within_x) * counts).sum(axis=1)
        within += ((weights @ within_y) * weights).sum(axis=1)
        # A group's texts weigh as much as its images, so one number of pairs serves all sums.
        n_pairs = counts.sum(axis=1) ** 2 - (apart.group_sums(counts) ** 2).sum(axis=1)
        n_pairs = np.where(n_pairs > 0, n_pairs, np.nan)
        return {
            name: (within - 2 * ((counts @ kernel) * weights).sum(axis=1)) / n_pairs
            for name, kernel in across.items()
        }

    return as_measured(over_resamples(len(x), seed, statistic), len(x))


def _keep_apart(
    kernel: Matrix, first_groups: NDArray[np.int64], second_groups: NDArray[np.int64]
) -> Matrix:
    apart: Matrix = np.where(first_groups[:, None] == second_groups, 0.0, kernel)
    return apart


def _centre(vectors: Matrix, shares: Matrix, distinct_shares: Matrix) -> Matrix:
    """Subtract the mean and undo what that takes off the spread.

    The mean contains the vector itself, which shortens deviations from it: their squared length
    is ``1 - sum(shares^2)`` of the variance on average, the shares being those of vectors that
    differ: 10 % too little for ten texts of equal weight.
    """
    centred: Matrix = (vectors - shares @ vectors) / np.sqrt(1 - (distinct_shares**2).sum())
    return centred


def measure_uniformity(space: Space, *, seed: int) -> dict[str, Measured]:
    """Uniformity of each modality: the log of the mean kernel over pairs of distinct points."""
    kernels = [
        gaussian_kernel(v, v)
        for v in (space.distinct_images.astype(np.float64), space.distinct_texts.astype(np.float64))
    ]

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        weights = space.weigh_images(counts), space.weigh_texts(counts)
        return {
            "uniformity_images": np.log(pair_mean(kernels[0], weights[0])),
            "uniformity_texts": np.log(pair_mean(kernels[1], weights[1])),
        }

    columns = over_resamples(len(space.images), seed, statistic)
    return as_measured(columns, _sizes(columns, space))


def measure_dimensions(space: Space, *, seed: int) -> dict[str, Measured]:
    """Participation ratio of each modality's covariance, the bias of small samples removed.

    ``tr(S)^2 / tr(S^2)`` with unbiased estimates of ``tr(S)`` and ``tr(S^2)`` from the inner
    products of distinct points, the correction of arXiv:2509.26560 for few rows. The plain
    ratio of n points is below n whatever the true dimension.
    """
    grams = [
        centred @ centred.T
        for centred in (
            vectors - vectors.mean(axis=0)
            for vectors in (
                space.distinct_images.astype(np.float64),
                space.distinct_texts.astype(np.float64),
            )
        )
    ]

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        weights = space.weigh_images(counts), space.weigh_texts(counts)
        images, texts = (
            total_variance(gram, w) ** 2 / _positive(unbiased_hsic(gram, gram, w))
            for gram, w in zip(grams, weights, strict=True)
        )
        return {"participation_ratio_images": images, "participation_ratio_texts": texts}

    columns = over_resamples(len(space.images), seed, statistic)
    return as_measured(columns, _sizes(columns, space))


def _sizes(names: Iterable[str], space: Space) -> dict[str, int]:
    pictures, wordings = space.relation.pairs.shape
    return {n: wordings if n.endswith("_texts") else pictures for n in names}


def _positive(values: Matrix) -> Matrix:
    return np.where(values > 0, values, np.nan)
