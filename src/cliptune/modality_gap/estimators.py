"""Means over pairs of distinct items, weighted by how often a resample holds each item.

It knows nothing about images or texts. A bootstrap resample repeats items; a pair of two copies
of one item says nothing about pairs of different items, so all sums run over distinct items and
every row of weights holds counts. With all weights equal these are U-statistics. Values come
as one matrix for all rows of weights, or as a stack (B, n, n) with one for each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["gaussian_kernel", "pair_mean", "total_variance", "unbiased_hsic"]

Matrix = NDArray[np.float64]


def gaussian_kernel(first: Matrix, second: Matrix) -> Matrix:
    """Return ``exp(-2 |u - v|^2)`` for all rows u of the first and v of the second: (n, m).

    The kernel of uniformity with t = 2 (arXiv:2005.10242, section 4.1.2). Its width is fixed,
    not read off the data, so that numbers of different encoders can be compared.
    """
    squared = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    kernel: Matrix = np.exp(-2.0 * np.maximum(squared, 0.0))
    return kernel


def pair_mean(values: Matrix, weights: Matrix) -> Matrix:
    """Return the weighted mean of ``values[i, j]`` over all i != j.

    Args:
        values: (n, n) or (B, n, n), symmetric; the diagonal is not used.
        weights: (B, n), not negative.

    Returns:
        (B,): ``sum w_i w_j v_ij / sum w_i w_j``; not a number where fewer than two items
        have weight.
    """
    shares = _shares(weights)
    total = (_times(shares, _without_diagonal(values)) * shares).sum(axis=1)
    return _divide(total, _distinct_sums(shares)[0])


def total_variance(gram: Matrix, weights: Matrix) -> Matrix:
    """Estimate the trace of the covariance without bias, from inner products (n, n): (B,)."""
    return _shares(weights) @ gram.diagonal() - pair_mean(gram, weights)


def unbiased_hsic(first: Matrix, second: Matrix, weights: Matrix) -> Matrix:
    """Estimate the Hilbert-Schmidt independence criterion without bias.

    ``E[k l'] - 2 E[k_ij l_iq] + E[k] E[l]`` with every index distinct: equation 5 of Song et al.
    (JMLR 13, 2012), the form that arXiv:2010.15327 uses for CKA, here with weights. With inner
    products as kernels it estimates ``|Cov(x, y)|_F^2``, and for ``first is second`` the sum of
    the covariance's squared eigenvalues.

    Args:
        first: (n, n) or (B, n, n), symmetric kernel values of the one kind; the diagonal is
            not used.
        second: Likewise, the same items, the other kind.
        weights: (B, n), not negative.

    Returns:
        (B,); not a number where fewer than four items have weight.
    """
    k, l = _without_diagonal(first), _without_diagonal(second)  # noqa: E741  the paper's symbols
    w = _shares(weights)
    product, squares = k * l, w**2
    wk, wl = _times(w, k), _times(w, l)
    # Each sum below counts index tuples that may coincide; what coincides is taken off again:
    # with r the pairs that share both indices and q those that share at least one,
    # four distinct indices leave everything - 4 (q - r) - 2 r.
    shares_one = (squares * wk * wl).sum(axis=1)
    squares_product = _times(squares, product)
    shares_both = (squares_product * squares).sum(axis=1)
    everything = (wk * w).sum(axis=1) * (wl * w).sum(axis=1)
    two = (_times(w, product) * w).sum(axis=1)
    three = (w * wk * wl).sum(axis=1) - (squares_product * w).sum(axis=1)
    four = everything - 4 * shares_one + 2 * shares_both
    n_two, n_three, n_four = _distinct_sums(w)
    return _divide(two, n_two) - 2 * _divide(three, n_three) + _divide(four, n_four)


def _without_diagonal(values: Matrix) -> Matrix:
    copy = values.astype(np.float64)
    diagonal = np.arange(copy.shape[-1])
    copy[..., diagonal, diagonal] = 0.0
    return copy


def _times(weights: Matrix, values: Matrix) -> Matrix:
    """Multiply each row of weights by the matrix, or by its own: (B, n)."""
    product: Matrix = weights @ values if values.ndim == 2 else (weights[:, None] @ values)[:, 0]
    return product


def _shares(weights: Matrix) -> Matrix:
    shares: Matrix = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _distinct_sums(weights: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Sum the products of the weights of 2, 3 and 4 distinct items, by Newton's identities."""
    p1, p2, p3, p4 = ((weights**power).sum(axis=1) for power in (1, 2, 3, 4))
    return (
        p1**2 - p2,
        p1**3 - 3 * p1 * p2 + 2 * p3,
        p1**4 - 6 * p1**2 * p2 + 3 * p2**2 + 8 * p1 * p3 - 6 * p4,
    )


def _divide(numerator: Matrix, denominator: Matrix) -> Matrix:
    """Divide; where nothing was summed there is no mean."""
    quotient = np.full_like(numerator, np.nan)
    # Shares add up to 1, so an empty sum cancels to the rounding error of 1.
    np.divide(numerator, denominator, out=quotient, where=denominator > 1e-13)
    return quotient
