"""A sample of a table's images, drawn class by class.

It knows labels, and nothing about what the sample is for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError

__all__ = ["sample_rows"]


def sample_rows(labels: NDArray[np.int64], n: int, *, seed: int) -> NDArray[np.int64]:
    """Draw rows so that every class keeps its share, to within one image.

    Each class lays its rows, in random order, at equal distances along the unit interval from a
    random start on; the ``n`` rows that come first are drawn (systematic sampling). Images
    without a label count as one class.

    Args:
        labels: int (N,), -1 for none.
        n: How many; all rows if there are no more.
        seed: Of the draw.

    Returns:
        int64 row numbers, ascending.

    Raises:
        InputError: ``n`` is not positive.
    """
    if n < 1:
        raise InputError(f"a sample of {n} images was asked for; expected at least 1")
    rng = np.random.default_rng(seed)
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        places[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.sort(np.argsort(places, kind="stable")[:n]).astype(np.int64)
