"""One thing that a self-check looked at.

It knows nothing about models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: ``unseen`` where these weights, or this machine, cannot show it.
        said: In a sentence.
    """

    name: str
    status: Literal["passed", "warned", "unseen"]
    said: str
