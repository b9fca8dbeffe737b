"""One section in a plan: what it takes, what shapes it, or why it is not done.

It knows nothing about how plans are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["Step"]

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class Step:
    """One section in a plan.

    Attributes:
        name: The section.
        seconds: What it is expected to take.
        settings: What shapes it, as plain JSON values.
        left_out: Why it is not done, or nothing.
        waits: Only time is lacking: what others do not use may be enough for it later.
    """

    name: str
    seconds: float
    settings: Json
    left_out: str | None = None
    waits: bool = False

    def to_dict(self) -> Json:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        return cls(**values)
