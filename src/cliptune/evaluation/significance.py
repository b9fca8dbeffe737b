"""Two classifiers on the same images: is one better, and by how much.

It knows nothing about what made the two; it sees which images each gets right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.evaluation.distributions import sign_test
from cliptune.evaluation.metrics import N_RESAMPLES, percentile_interval

__all__ = ["Comparison", "compare_correct", "compare_counts"]


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same images.

    Attributes:
        difference: Accuracy of the second minus accuracy of the first.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        p_value: Two-sided, exact McNemar test.
        n: Number of images.
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        method: How test and interval were made.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    only_first: int
    only_second: int
    method: str = "exact McNemar test; paired bootstrap over images, percentile"


def compare_correct(
    first: NDArray[np.bool_], second: NDArray[np.bool_], *, seed: int = 0
) -> Comparison:
    """Compare two classifiers' hits on the same images.

    McNemar, Psychometrika 12, 1947, in its exact form: under equal accuracy, the images that
    exactly one of them gets right fall to either side with probability 1/2.

    Args:
        first: bool (N,), whether the first is right on each image.
        second: bool (N,), the same for the second.
        seed: Seed of the bootstrap.

    Raises:
        InputError: The two are not of the same images.
    """
    if first.shape != second.shape or len(first) == 0:
        raise InputError(
            f"cannot pair results on {len(first)} and {len(second)} images; use the same images"
        )
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return compare_counts(only_first, only_second, len(first), seed=seed)


def compare_counts(only_first: int, only_second: int, n: int, *, seed: int = 0) -> Comparison:
    """Compare two classifiers of which it was counted where they differ; see ``compare_correct``.

    Args:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        n: Images in all, one or more.
        seed: Seed of the bootstrap.
    """
    discordant = only_first + only_second
    # Resampling images and differencing is a trinomial draw over the three kinds of image.
    shares = np.asarray([only_first, only_second, n - discordant]) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, size=10 * N_RESAMPLES)
    low, high = percentile_interval((draws[:, 1] - draws[:, 0]) / n)
    return Comparison(
        difference=(only_second - only_first) / n,
        low=low,
        high=high,
        p_value=sign_test(only_first, only_second),
        n=n,
        only_first=only_first,
        only_second=only_second,
    )
