"""Tails and quantiles of the binomial's and Student's distributions.

The functions of ``scipy.special`` behind ``scipy.stats``, whose import alone takes longer than most
answers: a second on a busy machine.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

__all__ = [
    "binomial_at_least",
    "binomial_quantile",
    "sign_test",
    "student_below",
    "student_quantile",
    "wilson_bounds",
]


@cache  # thousands of classes share a few counts
def wilson_bounds(n_right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share (Wilson, JASA 22, 1927).

    Args:
        n_right: Hits, 0 to n.
        n: Draws, one or more.
        level: How sure.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (n_right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (n_right * (n - n_right) / n + z * z / 4) ** 0.5
    low = 0.0 if n_right == 0 else centre - half
    high = 1.0 if n_right == n else centre + half
    return low, high


def binomial_at_least(k: int, n: int, share: float) -> float:
    """Return the probability of k hits or more in n draws."""
    from scipy.special import bdtrc

    return float(bdtrc(k - 1, n, share)) if k > 0 else 1.0


def binomial_quantile(level: float, n: int, share: float) -> int:
    """Return the fewest hits that are not exceeded with a probability."""
    from scipy.special import bdtr, bdtrik

    if share >= 1:
        return n
    found = max(int(bdtrik(level, n, share)), 0)  # between two counts; rounded down
    while found < n and bdtr(found, n, share) < level:
        found += 1
    return found


def sign_test(one: int, other: int) -> float:
    """Return the exact two-sided probability of a split at least as uneven, of equal chances.

    On images that only one of two classifiers gets right this is the exact McNemar test.
    """
    from scipy.special import bdtr

    n = one + other
    return min(1.0, 2 * float(bdtr(min(one, other), n, 0.5))) if n else 1.0


def student_below(value: float, freedom: int) -> float:
    """Return the probability of Student's t below a value."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))


def student_quantile(level: float, freedom: int) -> float:
    """Return the value of Student's t that is not exceeded with a probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
