"""Are the groups of images arranged among themselves as their texts are?

It knows nothing about the offset between the modalities: both measures compare only how the
items of one kind lie to each other, so a shift, a rotation or a change of scale of either
modality leaves linear CKA as it is, and a rotation or scale leaves the correlation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.estimators import pair_mean, unbiased_hsic

__all__ = ["centred_gram", "cosine_ranks", "linear_cka", "similarity_correlation"]

Matrix = NDArray[np.float64]


def cosine_ranks(vectors: Matrix) -> Matrix:
    """Rank the cosines of all pairs of items.

    Args:
        vectors: (G, D) or a stack of such, one row an item; a row of zeros has the cosine 0
            with all.

    Returns:
        (G, G), or a stack, symmetric, zeros on the diagonal; mid-ranks of the pairs, centred on
        their mean and divided by the number of pairs.
    """
    from scipy.stats import rankdata

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1.0)
    rows, columns = np.triu_indices(vectors.shape[-2], k=1)
    cosines = unit @ unit.swapaxes(-1, -2)
    values = rankdata(cosines[..., rows, columns], axis=-1)
    ranks = np.zeros(cosines.shape)
    # The mean rank of n pairs is (n + 1) / 2.
    ranks[..., rows, columns] = (values - (len(rows) + 1) / 2) / len(rows)
    return ranks + ranks.swapaxes(-1, -2)


def similarity_correlation(first: Matrix, second: Matrix, weights: Matrix) -> Matrix:
    """Spearman's correlation of two matrices of cosines, over all pairs of distinct items.

    Representational similarity analysis (doi:10.3389/neuro.06.004.2008). Ranks are those of
    the sample; weights only reweigh the pairs.

    Args:
        first: (G, G) or (B, G, G), from ``cosine_ranks`` of the items in one modality.
        second: Likewise, the same items in the other.
        weights: (B, G), how often each resample holds each item.

    Returns:
        (B,); not a number where fewer than two pairs, or only ties, are left.
    """
    mean_a, mean_b = pair_mean(first, weights), pair_mean(second, weights)
    covariance = pair_mean(first * second, weights) - mean_a * mean_b
    variance_a = pair_mean(first**2, weights) - mean_a**2
    variance_b = pair_mean(second**2, weights) - mean_b**2
    return _ratio(covariance, variance_a, variance_b)


def centred_gram(vectors: Matrix) -> Matrix:
    """Inner products about the mean: the same HSIC as without, but less cancellation.

    Args:
        vectors: (G, D) or a stack of such.

    Returns:
        (G, G), or a stack.
    """
    centred = vectors - vectors.mean(axis=-2, keepdims=True)
    gram: Matrix = centred @ centred.swapaxes(-1, -2)
    return gram


def linear_cka(first: Matrix, second: Matrix, weights: Matrix) -> Matrix:
    """Linear centred kernel alignment with the unbiased estimator of HSIC.

    ``HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))`` (arXiv:1905.00414, equation 4). The plain
    estimate of two unrelated sets of G items in many more dimensions is close to 1; the
    unbiased one (arXiv:2010.15327) is close to 0, and may fall below it or rise above 1.

    Args:
        first: (G, G) or (B, G, G), from ``centred_gram`` of the items in one modality.
        second: Likewise, the same items in the other.
        weights: (B, G), how often each resample holds each item.

    Returns:
        (B,); not a number where fewer than four items have weight.
    """
    return _ratio(
        unbiased_hsic(first, second, weights),
        unbiased_hsic(first, first, weights),
        unbiased_hsic(second, second, weights),
    )


def _ratio(covariance: Matrix, first_variance: Matrix, second_variance: Matrix) -> Matrix:
    """Divide by the geometric mean; without spread on both sides there is no ratio."""
    # Ranks are of the order of 1 and Grams are compared to their own scale by the caller's
    # data, so only exact zeros and the rounding below them are refused.
    ratio = np.full_like(covariance, np.nan)
    usable = (first_variance > 1e-30) & (second_variance > 1e-30)
    np.divide(
        covariance,
        np.sqrt(first_variance * second_variance, where=usable, out=np.ones_like(covariance)),
        out=ratio,
        where=usable,
    )
    return ratio
