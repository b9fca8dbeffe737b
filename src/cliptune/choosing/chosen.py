"""What was compared, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import Fitted
from cliptune.selection.answer import Answer
from cliptune.selection.class_thresholds import MovedThresholds
from cliptune.selection.judging import Judged
from cliptune.selection.unlabelled import LearnedUnlabelled

__all__ = ["Chosen"]


@dataclass(frozen=True)
class Chosen:
    """The methods that were fitted, and which of them to ship.

    Attributes:
        fitted: By name, zero-shot first; each fitted on every image outside the test.
        answer: The rule's answer.
        notes: What was done, one sentence each.
        rows: int64 (n,), the images that were learned from.
        judged: What each answered for images of these that it had not learned from, by position;
            nothing where none could be held out. Of the method whose thresholds or weights were
            moved, what it answered before.
        thresholds: What came of moving the thresholds of the method to ship, where that was asked.
        unlabelled: What came of images without labels, where some were given.
    """

    fitted: Mapping[str, Fitted]
    answer: Answer
    notes: tuple[str, ...]
    rows: NDArray[np.int64]
    judged: Mapping[str, Judged]
    thresholds: MovedThresholds | None = None
    unlabelled: LearnedUnlabelled | None = None
