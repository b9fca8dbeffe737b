"""The grid of a sweep: named axes of values, read from one line of text.

It knows nothing about what the values do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from cliptune.errors import InputError, UnknownNameError

__all__ = ["Axis", "Grid", "coarse_first", "parse_grid"]

_EXAMPLE = "write for example 'lr=1e-4..1e0:9 wd=0,1e-4'"
_MOST_VALUES = 1000
_LARGEST = 1e6  # beyond, nothing that is trained stays finite


@dataclass(frozen=True)
class Axis:
    """One swept quantity.

    Attributes:
        name: Its name, such as ``lr``.
        values: In rising order, each once.
    """

    name: str
    values: tuple[float, ...]

    def beyond(self, edge: float, n: int) -> tuple[float, ...]:
        """Return the next ``n`` values past the lowest or highest one above 0, if it is one.

        The steps go on as between the edge and its neighbour; a lone value has no next one.
        """
        positive = [value for value in self.values if value > 0]
        if len(positive) < 2 or edge not in (positive[0], positive[-1]):
            return ()
        step = edge / positive[1 if edge == positive[0] else -2]
        return tuple(float(f"{edge * step**k:.4g}") for k in range(1, n + 1))


@dataclass(frozen=True)
class Grid:
    """Axes whose every combination is one configuration."""

    axes: tuple[Axis, ...]

    def axis(self, name: str) -> Axis:
        """Return the axis of a name."""
        return next(axis for axis in self.axes if axis.name == name)

    def points(self) -> tuple[dict[str, float], ...]:
        """Return all configurations, the last axis varying fastest."""
        names = [axis.name for axis in self.axes]
        combined = product(*(axis.values for axis in self.axes))
        return tuple(dict(zip(names, values, strict=True)) for values in combined)

    def describe(self) -> dict[str, list[float]]:
        """Return the values by axis, as plain JSON values."""
        return {axis.name: list(axis.values) for axis in self.axes}


def parse_grid(text: str, *, known: Sequence[str], defaults: Sequence[Axis] = ()) -> Grid:
    """Read a grid.

    Args:
        text: Axes separated by blanks: ``NAME=LOW..HIGH:COUNT`` (even steps of the logarithm)
            or ``NAME=VALUE,VALUE,...``.
        known: Names of axes that are accepted, in the order of the result.
        defaults: Axes for names that the text leaves out.

    Raises:
        InputError: An entry has another form, or a range is empty or reversed.
        UnknownNameError: An axis has a name that is not known.
    """
    axes = {axis.name: axis for axis in defaults}
    given: set[str] = set()
    for entry in text.split():
        name, equals, values = entry.partition("=")
        if not (equals and values):
            raise InputError(f"--grid {entry!r} is not of the form NAME=VALUES; {_EXAMPLE}")
        if name not in known:
            raise UnknownNameError("axis of the grid", name, known)
        if name in given:
            raise InputError(f"--grid names {name!r} twice; give all its values in one entry")
        given.add(name)
        axes[name] = _read_range(name, values) if ".." in values else _read_list(name, values)
    if not given and not axes:
        raise InputError(f"--grid {text!r} holds no axis; {_EXAMPLE}")
    return Grid(tuple(axes[name] for name in known if name in axes))


def _read_range(name: str, text: str) -> Axis:
    ends, colon, count_text = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    low, high = _number(name, low_text), _number(name, high_text)
    count = _count(name, count_text) if colon else 9
    if not low > 0:
        raise InputError(
            f"--grid {name}={text}: the range starts at {low:g}, but its steps are even in the "
            f"logarithm; start above 0, or list the values: {name}=0,{high:g}"
        )
    if low >= high or count < 2:
        what = "reversed" if low > high else "empty"
        raise InputError(
            f"--grid {name}={text}: the range is {what}; expected LOW..HIGH:COUNT with "
            f"LOW below HIGH and 2 values or more"
        )
    steps = (math.log(high) - math.log(low)) / (count - 1)
    values = tuple(float(f"{math.exp(math.log(low) + k * steps):.4g}") for k in range(count))
    return Axis(name, values)


def _read_list(name: str, text: str) -> Axis:
    parts = [part for part in text.split(",") if part]
    if not parts:
        raise InputError(f"--grid {name}={text} holds no value; {_EXAMPLE}")
    if len(parts) > _MOST_VALUES:
        raise InputError(f"--grid {name} lists {len(parts)} values; expected up to {_MOST_VALUES}")
    values = sorted({_number(name, part) for part in parts})
    if values[0] < 0:
        raise InputError(f"--grid {name}: {values[0]:g} came; expected numbers from 0")
    return Axis(name, tuple(values))


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"--grid {name}: {text[:40]!r} is no number; {_EXAMPLE}")
    if value > _LARGEST:
        raise InputError(f"--grid {name}: {value:g} came; expected numbers up to {_LARGEST:g}")
    return value


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) <= _MOST_VALUES):
        raise InputError(
            f"--grid {name}: {text[:40]!r} is no count of values; expected 2 to {_MOST_VALUES}"
        )
    return int(text)


def coarse_first(n: int) -> list[int]:
    """Order 0..n-1 so that every beginning covers the whole range: ends, middle, quarters."""
    order: list[int] = []
    pieces = 1
    while len(order) < n:
        marks = [round(k * (n - 1) / pieces) for k in range(pieces + 1)]
        order += [mark for mark in dict.fromkeys(marks) if mark not in order]
        pieces *= 2
    return order
