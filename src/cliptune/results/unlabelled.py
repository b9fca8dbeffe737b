"""Images without labels beside those with: what they were worth, and whether they are used.

It knows nothing about how is learned from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cliptune.system.formatting import change, change_interval, count, percent

if TYPE_CHECKING:
    from cliptune.selection.unlabelled import LearnedUnlabelled

__all__ = ["UnlabelledImages"]


@dataclass(frozen=True, kw_only=True)
class UnlabelledImages:
    """What images without labels add to a method, on held-out images.

    Attributes:
        data: Where they came from.
        method: The method that they move; None where there is none to move.
        images: How many were used.
        kept: The classifier learned from them; it answers as without them otherwise.
        before: The share of held-out images that it answers rightly without them.
        difference: What they add to it.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        n: Held-out images.
        reason: Why it could not learn from them, or None.
    """

    data: str
    method: str | None
    images: int
    kept: bool
    before: float | None
    difference: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None

    @classmethod
    def of(cls, found: LearnedUnlabelled, data: str) -> UnlabelledImages:
        """Say it of images from some place."""
        gain = found.gain
        return cls(
            data=data,
            method=found.method,
            images=found.n,
            kept=found.kept,
            before=found.before,
            difference=None if gain is None else gain.difference,
            low=None if gain is None else gain.low,
            high=None if gain is None else gain.high,
            n=0 if gain is None else gain.n,
            reason=found.reason,
        )

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        if self.before is None or self.difference is None or self.low is None or self.high is None:
            return f"Images without labels are not used: {self.reason}."
        verb = "move" if self.kept else "do not move"
        end = "" if self.kept else ", so that it learned from labels alone"
        return (
            f"{count(self.images)} images without labels {verb} {self.method}: "
            f"{percent(self.before)} of {count(self.n)} held-out images right without them, "
            f"{change(self.difference)} points with them (95 % interval "
            f"{change_interval(self.low, self.high)}){end}."
        )
