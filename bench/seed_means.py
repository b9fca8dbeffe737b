"""The mean difference of two ways over seeds, on the same test images, with an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def mean_difference(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> dict[str, object]:
    """Second less first; images are resampled, seeds are not.

    Args:
        first: Hits, bool (n,), one array a seed.
        second: The same of the other way.
    """
    differences = np.mean(np.asarray(second, float) - np.asarray(first, float), axis=0)
    rng = np.random.default_rng(0)
    n_images = len(differences)
    means = [differences[rng.integers(0, n_images, n_images)].mean() for _ in range(RESAMPLES)]
    interval = [round(float(end), 4) for end in np.quantile(means, [0.025, 0.975])]
    return {"difference": round(float(differences.mean()), 4), "interval": interval, "n": n_images}
