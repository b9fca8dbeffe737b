"""Groups of labels as a table of yes and no."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["membership"]


def membership(label_sets: Sequence[Sequence[int] | None], n_classes: int) -> NDArray[np.bool_]:
    """Return bool (N, C): which classes each image has; an unlabelled one has none."""
    truth = np.zeros((len(label_sets), n_classes), dtype=bool)
    for row, labels in enumerate(label_sets):
        truth[row, list(labels or ())] = True
    return truth
