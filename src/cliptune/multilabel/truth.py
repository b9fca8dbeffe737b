"""Groups of labels as a table of yes and no."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError

__all__ = ["membership", "require_scorable"]


def membership(label_sets: Sequence[Sequence[int] | None], n_classes: int) -> NDArray[np.bool_]:
    """Return bool (N, C): which classes each image has; an unlabelled one has none."""
    truth = np.zeros((len(label_sets), n_classes), dtype=bool)
    for row, labels in enumerate(label_sets):
        truth[row, list(labels or ())] = True
    return truth


def require_scorable(label_sets: Sequence[Sequence[int] | None], *, at_least: int, of: str) -> None:
    """Make sure that answers can be scored by labels.

    Args:
        label_sets: Those of N images.
        at_least: So many images are needed.
        of: What the images are, for the message.

    Raises:
        DataError: There are fewer, or none of them has a label.
    """
    if len(label_sets) < at_least:
        raise DataError(
            f"{of} has {len(label_sets)} labelled images to score; expected at least {at_least}, "
            "since the threshold for each comes from the others"
        )
    if not any(label_sets):
        raise DataError(
            f"none of the {len(label_sets)} images of {of} that are to be scored has a label; "
            "expected some that have, for example in another --split"
        )
