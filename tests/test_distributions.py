"""Against scipy.stats, the same numbers by an independent way."""

import pytest
from scipy import stats

from cliptune.evaluation.distributions import (
    binomial_at_least,
    binomial_quantile,
    sign_test,
    student_below,
    student_quantile,
    wilson_bounds,
)

COUNTS = [(0, 1), (1, 1), (0, 12), (3, 12), (12, 12), (60, 153), (7, 10_000), (25_000, 50_000)]


@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_counts(k, n):
    for level in (0.9, 0.95):
        interval = stats.binomtest(k, n).proportion_ci(level, method="wilson")
        assert wilson_bounds(k, n, level) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert sign_test(k, n - k) == pytest.approx(stats.binomtest(k, n).pvalue, rel=1e-9)
    for share in (0.01, 0.5, 0.973):
        above = stats.binomtest(k, n, share, alternative="greater").pvalue
        assert binomial_at_least(k, n, share) == pytest.approx(above, rel=1e-9)
        for level in (0.01, 0.5, 0.99):
            assert binomial_quantile(level, n, share) == stats.binom.ppf(level, n, share)


def test_one_class_alone_and_no_difference():
    assert binomial_quantile(0.99, 20, 1.0) == 20
    assert sign_test(0, 0) == 1.0


@pytest.mark.parametrize("freedom", [1, 2, 7, 100, 49_999])
def test_student(freedom):
    for value in (-3.0, 0.0, 0.2, 12.5):
        expected = stats.t.cdf(value, freedom)
        assert student_below(value, freedom) == pytest.approx(expected, rel=1e-9)
    for level in (0.025, 0.5, 0.975):
        expected = stats.t.ppf(level, freedom)
        assert student_quantile(level, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-9)
