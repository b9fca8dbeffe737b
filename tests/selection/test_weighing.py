"""Two ways weighed against each other: what many and few images show."""

import numpy as np
import pytest
from scipy.stats import t

from cliptune.selection.weighing import MARGIN, weigh


def hits(n, only_first, only_second, both):
    """Return which images two ways get right, so many of each kind of n."""
    first, second = np.zeros(n, bool), np.zeros(n, bool)
    first[: both + only_first] = True
    second[:both] = True
    second[both + only_first : both + only_first + only_second] = True
    return first, second


def test_equal_ways_on_many_images_need_no_training():
    weighed = weigh(*hits(4000, 40, 40, 3000))
    assert weighed.verdict == "do-not-train"
    assert not weighed.costlier_is_guess
    assert weighed.needed is None


def test_a_clear_gain_is_trained_for():
    weighed = weigh(*hits(400, 5, 45, 200))
    assert weighed.verdict == "train"
    assert weighed.costlier_is_guess
    assert weighed.gain.difference == pytest.approx(0.1)


def test_few_images_prove_neither_equality_nor_gain():
    same = weigh(*hits(20, 0, 0, 15))
    better = weigh(*hits(20, 1, 3, 10))
    assert same.verdict == better.verdict == "undecided"
    assert not same.costlier_is_guess  # as good as the cheaper one, for all that was seen
    assert better.costlier_is_guess  # 10 points better, for all that was seen
    assert better.needed > 20


def test_the_probability_is_that_of_students_t():
    first, second = hits(500, 30, 34, 300)
    gain = weigh(first, second).gain
    change = second.astype(float) - first
    variance = (float((change**2).sum()) + 0.5) / 501 - change.mean() ** 2
    error = np.sqrt(variance / 500)
    assert gain.error == pytest.approx(error)
    expected = t.cdf((MARGIN - change.mean()) / error, 499)
    assert gain.below(MARGIN) == pytest.approx(expected)


def test_so_many_images_as_are_needed_decide():
    few = weigh(*hits(100, 5, 10, 60))
    assert few.verdict == "undecided"
    factor = -(-few.needed // 100)
    assert weigh(*hits(100 * factor, 5 * factor, 10 * factor, 60 * factor)).verdict == "train"


def test_means_over_seeds_are_weighed_too():
    first, second = hits(400, 5, 45, 200)
    weighed = weigh(first * 1.0, (first + 2.0 * second) / 3)
    assert weighed.gain.difference == pytest.approx(0.1 * 2 / 3)
