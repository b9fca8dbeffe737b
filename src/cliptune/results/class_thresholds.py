"""A threshold for each class: what it is, what it is worth, and whether a classifier has it.

It knows nothing about how thresholds are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cliptune.system.formatting import change, change_interval, count

if TYPE_CHECKING:
    from cliptune.selection.class_thresholds import MovedThresholds

__all__ = ["ClassThresholds"]

_SCORES = {
    "accuracy": "accuracy",
    "balanced-accuracy": "balanced accuracy",
    "macro-f1": "macro F1",
}


@dataclass(frozen=True, kw_only=True)
class ClassThresholds:
    """Offsets of the classes' log-probabilities: the answer is the largest of log p_c + b_c.

    Attributes:
        method: The method whose thresholds they are; None where there is none to move.
        select: The score that they were chosen by.
        kept: The classifier has them; it answers as without them otherwise.
        offsets: By class name, b_c; their mean is 0. Empty where none could be chosen.
        before: The score of held-out images without them.
        difference: What offsets that were chosen on other images add to it.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        n: Images.
        reason: Why none could be chosen, or None.
    """

    method: str | None
    select: str
    kept: bool
    offsets: Mapping[str, float]
    before: float | None
    difference: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None

    @classmethod
    def of(cls, found: MovedThresholds, class_names: Sequence[str]) -> ClassThresholds:
        """Say it of named classes."""
        gain, offsets = found.gain, [] if found.offsets is None else found.offsets.tolist()
        return cls(
            method=found.method,
            select=found.select,
            kept=found.kept,
            offsets=dict(zip(class_names, offsets, strict=False)),
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
        if self.difference is None or self.low is None or self.high is None:
            return f"Class thresholds stay as they are: {self.reason}."
        gain = (
            f"{change(self.difference)} points of {_SCORES[self.select]} on {count(self.n)} "
            f"held-out images, chosen on others (95 % interval "
            f"{change_interval(self.low, self.high)})"
        )
        if not self.kept:
            return (
                f"Class thresholds of {self.method} stay as they are: moving them is expected to "
                f"add {gain}."
            )
        rarer, oftener = (pick(self.offsets, key=self.offsets.__getitem__) for pick in (min, max))
        return (
            f"Class thresholds of {self.method} are moved, {self.offsets[rarer]:+.2f} for {rarer} "
            f"to {self.offsets[oftener]:+.2f} for {oftener} on log-probabilities, which is "
            f"expected to add {gain}."
        )
