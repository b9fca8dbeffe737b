"""Bounds of the numbers that users give: one sentence when a value is outside.

It knows no option; whoever has one names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from cliptune.errors import InputError

__all__ = [
    "INNER_SHARE",
    "MAX_SEED",
    "MAX_WHOLE",
    "describe_range",
    "require_count",
    "require_number",
]

# What NumPy's and scikit-learn's generators take.
MAX_SEED = 2**32 - 1
# More images, epochs or steps than anyone has, and small enough for every 64-bit sum of them.
MAX_WHOLE = 10**9
# Of images that are held out: some, and not all.
INNER_SHARE: Mapping[str, float] = {"above": 0, "below": 1}


def require_count(name: str, value: int, *, at_least: int = 1, at_most: int = MAX_WHOLE) -> None:
    """Make sure that a whole number is within its range.

    Raises:
        InputError: It is not.
    """
    if not at_least <= value <= at_most:
        expected = f"a whole number from {at_least}"
        if value > at_most:
            expected += f" to {at_most}"
        raise InputError(f"{name} {_shown(value)} came; expected {expected}")


def require_number(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> None:
    """Make sure that a number is finite and within its range.

    Raises:
        InputError: It is not.
    """
    inside = (
        math.isfinite(value)
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )
    if not inside:
        expected = describe_range(at_least=at_least, above=above, at_most=at_most, below=below)
        raise InputError(f"{name} {value:g} came; expected {expected}")


def describe_range(
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> str:
    """Say in words which numbers are meant."""
    parts = [
        f"{word} {bound:g}"
        for word, bound in (
            ("from", at_least),
            ("above", above),
            ("up to", at_most),
            ("below", below),
        )
        if bound is not None
    ]
    return "a finite number" + (f" {', '.join(parts)}" if parts else "")


def _shown(value: int) -> str:
    """Write a whole number; one of thousands of digits is too long for a message."""
    return str(value) if abs(value) < 10**20 else "of more than 20 digits"
