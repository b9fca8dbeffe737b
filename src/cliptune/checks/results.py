"""What a check says: its status, what was found and expected, what that means, what to do.

It knows nothing about how checks are made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["CHECK_NAMES", "CheckResult"]

CHECK_NAMES = (
    "readable",
    "class_counts",
    "imbalance",
    "image_sizes",
    "duplicates",
    "contact_sheet",
    "zero_shot",
    "label_signal",
    "shuffled_labels",
    "initial_loss",
    "gradient_flow",
    "rate_range",
    "overfit_one_batch",
    "input_independent",
)


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: One of ``CHECK_NAMES``.
        status: Passed; warned: go on if you know why; failed: a run would be wasted; skipped.
        value: What was found, as plain JSON values.
        expected: What it was held against, as plain JSON values.
        meaning: One sentence: what the value says.
        advice: One sentence: what to do.
    """

    name: str
    status: Literal["passed", "warned", "failed", "skipped"]
    value: Any  # Any: plain JSON values
    expected: Any  # Any: plain JSON values
    meaning: str
    advice: str

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)
