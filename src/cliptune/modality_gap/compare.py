"""Before and after: how every number changed between two views of the same images.

It knows nothing about what was done in between.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import Score
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.modality_gap.gap import Gap
from cliptune.modality_gap.measured import Measured, has_interval, to_score

__all__ = ["compare_gaps", "compare_hits"]


def compare_gaps(before: Gap, after: Gap) -> dict[str, Score]:
    """Subtract every number both have, with a paired interval.

    Both were measured on the same images with the same seed, so their resamples hold the same
    images, and the difference is resampled as such.
    """
    changes = {}
    for name, second in after.numbers.items():
        first = before.numbers.get(name)
        if first is None:
            continue
        change = Measured(second.value - first.value, second.draws - first.draws, second.n)
        if has_interval(change):
            score = to_score(change)
            changes[name] = replace(score, method=f"paired {score.method}")
    return changes


def compare_hits(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    seed: int = 0,
) -> Comparison:
    """Compare two sets of predicted classes on the labelled images."""
    labelled = labels >= 0
    return compare_correct(
        before[labelled] == labels[labelled], after[labelled] == labels[labelled], seed=seed
    )
