"""How numbers are written: one way for tables, sentences, cards and reports.

It knows nothing about what was measured. What is not nothing is never written as nothing: a share
of 0.02 % is "< 0.1 %", a time of 20 microseconds "< 1 ms".
"""

from __future__ import annotations

import math
from typing import Protocol

__all__ = [
    "Difference",
    "Share",
    "change",
    "change_interval",
    "count",
    "decimal",
    "duration",
    "interval",
    "p_value",
    "per_second",
    "percent",
    "points",
    "rate",
    "size",
    "span",
    "with_p",
]

_BYTES = ("B", "kB", "MB", "GB", "TB")
_MINUTE, _HOUR = 60.0, 3600.0


class Share(Protocol):
    """A share with its 95 % interval and what it rests on."""

    @property
    def value(self) -> float: ...  # noqa: D102  described above
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102


class Difference(Protocol):
    """A difference of two shares with its 95 % interval, test and what it rests on."""

    @property
    def difference(self) -> float: ...  # noqa: D102  described above
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def p_value(self) -> float: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102


def percent(share: float) -> str:
    """Write a share as a percentage with one decimal: ``71.4 %``."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def interval(low: float, high: float) -> str:
    """Write the ends of a share's interval in percent: ``52.9 to 84.7``."""
    return f"{100 * low:.1f} to {100 * high:.1f}"


def span(share: Share) -> str:
    """Write a share with its interval and what it rests on."""
    ends = interval(share.low, share.high)
    return f"{percent(share.value)} (95 % interval {ends}, n = {share.n})"


def change(difference: float) -> str:
    """Write a difference of shares in points: ``+1.2``."""
    written = f"{100 * difference:+.1f}"
    return "+0.0" if written == "-0.0" else written


def change_interval(low: float, high: float) -> str:
    """Write the ends of a difference's interval in points: ``-0.3 to +2.7``."""
    return f"{change(low)} to {change(high)}"


def points(difference: Difference) -> str:
    """Write a difference of shares with its interval, test and what it rests on."""
    d = difference
    ends, p = change_interval(d.low, d.high), with_p(d.p_value)
    return f"{change(d.difference)} points (95 % interval {ends}, {p}, n = {d.n})"


def p_value(p: float) -> str:
    """Write a p-value as a cell: ``0.012`` or ``< 0.0001``."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def with_p(p: float) -> str:
    """Write a p-value within a sentence: ``p = 0.012`` or ``p < 0.0001``."""
    written = p_value(p)
    return f"p {written}" if written.startswith("<") else f"p = {written}"


def decimal(value: float) -> str:
    """Write a loss or a calibration error, with three decimals: ``0.131``."""
    if 0 < value < 0.0005:
        return "< 0.001"
    written = f"{value:.3f}"
    return "0.000" if written == "-0.000" else written


def duration(seconds: float) -> str:
    """Write a time in the unit that people would use: ``12 ms``, ``3.4 s``, ``2.5 min``."""
    if seconds <= 0:
        return "0 s"
    if seconds < 0.0005:
        return "< 1 ms"
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE - 0.5:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.1f} min"
    return f"{seconds / _HOUR:.1f} h"


def per_second(speed: float) -> str:
    """Write how many a second, to two digits below ten: ``0.31``, ``4.2``, ``117``."""
    return f"{speed:.2g}" if speed < 9.95 else f"{speed:,.0f}"


def rate(value: float) -> str:
    """Write a learning rate or a penalty as it would be typed, to four digits: ``0.03162``."""
    return f"{value:.4g}"


def count(number: float) -> str:
    """Write how many: ``12,345``."""
    return f"{number:,.0f}"


def size(n_bytes: float) -> str:
    """Write a size: ``1.2 GB``."""
    power = 0 if n_bytes < 1 else min(int(math.log(n_bytes, 1000)), len(_BYTES) - 1)
    return f"{n_bytes / 1000**power:.3g} {_BYTES[power]}"
