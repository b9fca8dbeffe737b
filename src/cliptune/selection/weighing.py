"""Whether a costlier way is worth it: the rule that weighs two ways against each other.

It sees how far two ways differ on the same held-out images, and knows nothing about either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.selection.judging import Gain, image_error

__all__ = ["MARGIN", "Verdict", "Weighed", "images_needed", "is_shown", "verdict_of", "weigh"]

MARGIN = 0.01  # of accuracy, that a cheaper way may cost where nothing else is said
_SHOWN = 0.75  # probability from which on a way counts as shown to be as good
_MOST_IMAGES = 1_000_000

Verdict = Literal["train", "do-not-train", "undecided"]


@dataclass(frozen=True)
class Weighed:
    """The costlier of two ways against the cheaper.

    Attributes:
        verdict: ``train``: the interval of the gain is above 0. ``do-not-train``: the cheaper one
            is shown to be as good within the margin. ``undecided``: too few images to tell.
        gain: From the cheaper to the costlier.
        margin: In accuracy.
        needed: How many held-out images would decide, where it is undecided; None where that
            cannot be said.
    """

    verdict: Verdict
    gain: Gain
    margin: float
    needed: int | None

    @property
    def costlier_is_guess(self) -> bool:
        """Whether to take the costlier one: shown to be better, or the better guess."""
        return self.verdict == "train" or (
            self.verdict == "undecided" and self.gain.difference > self.margin
        )

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is reported of it."""
        return {
            "answer": self.verdict,
            "margin": self.margin,
            "images_needed": self.needed,
            "below_margin": self.gain.below(self.margin),
        }


def weigh(
    cheaper: NDArray[Any], costlier: NDArray[Any], *, margin: float = MARGIN
) -> Weighed:  # Any: bool, or float where hits are means over seeds
    """Weigh two ways by their hits on the same images of one cut.

    Args:
        cheaper: (V,), whether, or how often, each image is right.
        costlier: (V,), likewise.
        margin: How much accuracy the cheaper one may cost.
    """
    change = np.asarray(costlier, np.float64) - np.asarray(cheaper, np.float64)
    gain = Gain(float(change.mean()), image_error(change), len(change))
    verdict = verdict_of(gain, margin)
    return Weighed(
        verdict, gain, margin, images_needed(gain, margin) if verdict == "undecided" else None
    )


def verdict_of(gain: Gain, margin: float) -> Verdict:
    """Return what a gain over the cheaper way says."""
    if is_shown(gain, margin):
        return "do-not-train"
    return "train" if gain.low > 0 else "undecided"


def is_shown(lost: Gain, margin: float) -> bool:
    """Say whether a cheaper way is shown to lose no more than a margin.

    Where the 95 % interval lies below the margin; or with a probability of 75 %, by a comparison
    whose standard error is no larger than the margin: a coarser one shows nothing by that.
    """
    return lost.high <= margin or (lost.error <= margin and lost.below(margin) >= _SHOWN)


def images_needed(gain: Gain, margin: float) -> int | None:
    """Return how many images would decide if the gain stayed as it is, or None.

    A gain above half the margin is decided when its interval leaves 0 out, a smaller one when the
    margin is out of its reach.
    """
    if gain.difference > margin / 2:
        room, half = gain.difference, gain.high - gain.difference
    else:
        room, half = margin - gain.difference, gain.half_width(_SHOWN)
    if not (room > 0 and math.isfinite(half)):
        return None
    needed = math.ceil(gain.n * (half / room) ** 2)
    return needed if needed <= _MOST_IMAGES else None
