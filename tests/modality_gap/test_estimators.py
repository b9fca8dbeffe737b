from itertools import permutations

import numpy as np
import pytest

from cliptune.modality_gap.estimators import (
    gaussian_kernel,
    pair_mean,
    total_variance,
    unbiased_hsic,
)


def symmetric(n, seed):
    values = np.random.default_rng(seed).normal(size=(n, n))
    return values + values.T


def distinct_mean(n, n_indices, term, weights):
    """Average a term over all tuples of distinct indices, by enumeration."""
    tuples = list(permutations(range(n), n_indices))
    weight = np.asarray([np.prod(weights[list(indices)]) for indices in tuples])
    values = np.asarray([term(*indices) for indices in tuples])
    return (weight * values).sum() / weight.sum()


@pytest.mark.parametrize("weights", [np.ones(6), np.asarray([2.0, 0.0, 1.0, 3.0, 0.5, 1.0])])
def test_hsic_is_the_sum_over_distinct_indices(weights):
    k, other = symmetric(6, 1), symmetric(6, 2)
    expected = (
        distinct_mean(6, 2, lambda i, j: k[i, j] * other[i, j], weights)
        - 2 * distinct_mean(6, 3, lambda i, j, q: k[i, j] * other[i, q], weights)
        + distinct_mean(6, 4, lambda i, j, q, r: k[i, j] * other[q, r], weights)
    )
    assert unbiased_hsic(k, other, weights[None])[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weights", [np.ones(5), np.asarray([2.0, 0.0, 1.0, 3.0, 0.5])])
def test_pair_mean_is_the_mean_over_distinct_pairs(weights):
    values = symmetric(5, 0)
    expected = distinct_mean(5, 2, lambda i, j: values[i, j], weights)
    assert pair_mean(values, weights[None])[0] == pytest.approx(expected)


def test_hsic_equals_the_published_formula():
    # Equation 5 of Song et al., in matrix form.
    k, other = symmetric(20, 3), symmetric(20, 4)
    a, b = k - np.diag(np.diag(k)), other - np.diag(np.diag(other))
    n, one = 20, np.ones(20)
    expected = np.trace(a @ b) + (one @ a @ one) * (one @ b @ one) / ((n - 1) * (n - 2))
    expected = (expected - 2 / (n - 2) * (one @ a @ b @ one)) / (n * (n - 3))
    assert unbiased_hsic(k, other, np.ones((1, n)))[0] == pytest.approx(expected)


def test_hsic_of_inner_products_estimates_the_squared_covariance_without_bias():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 2))
    estimates = []
    for _ in range(3000):
        x = rng.normal(size=(6, 3)) + 5
        y = x @ mixing + rng.normal(size=(6, 2))
        estimates.append(unbiased_hsic(x @ x.T, y @ y.T, np.ones((1, 6)))[0])
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx((mixing**2).sum(), abs=4 * error)


def test_too_few_items_have_no_number():
    k = symmetric(5, 0)
    three = np.asarray([[1.0, 1.0, 1.0, 0.0, 0.0], [1 / 3, 1 / 7, 5.0, 0.0, 0.0]])
    assert np.isnan(unbiased_hsic(k, k, three)).all()
    assert np.isnan(pair_mean(k, np.eye(5)[:1])).all()


def test_total_variance_is_the_trace_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(40, 7)) * np.arange(1, 8) + 3
    estimate = total_variance(x @ x.T, np.ones((1, 40)))[0]
    assert estimate == pytest.approx(np.trace(np.cov(x.T)))


def test_kernel_is_that_of_uniformity():
    x, y = np.asarray([[0.0, 1.0], [1.0, 1.0]]), np.asarray([[0.0, 1.0]])
    assert gaussian_kernel(x, y) == pytest.approx(np.exp([[0.0], [-2.0]]))
