import numpy as np
import pytest
from scipy.stats import binom

from cliptune.errors import InputError
from cliptune.evaluation.significance import compare_correct


def hits(both, only_first, only_second, neither):
    first = [True] * both + [True] * only_first + [False] * only_second + [False] * neither
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return np.asarray(first), np.asarray(second)


def test_p_value_is_the_two_sided_binomial_tail():
    comparison = compare_correct(*hits(80, 3, 12, 5))
    assert comparison.p_value == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert comparison.difference == pytest.approx(0.09)
    assert (comparison.only_first, comparison.only_second, comparison.n) == (3, 12, 100)


def test_interval_has_the_width_of_the_paired_difference():
    comparison = compare_correct(*hits(700, 100, 150, 50))
    shares = np.asarray([0.1, 0.15])
    deviation = np.sqrt((shares.sum() - (shares[1] - shares[0]) ** 2) / 1000)
    assert comparison.high - comparison.low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_equal_classifiers_do_not_differ():
    same = np.asarray([True, False, True])
    comparison = compare_correct(same, same)
    assert comparison.p_value == 1.0
    assert (comparison.low, comparison.high) == (0.0, 0.0)


def test_rejects_results_on_other_images():
    with pytest.raises(InputError, match="3 and 2 images"):
        compare_correct(np.ones(3, bool), np.ones(2, bool))
