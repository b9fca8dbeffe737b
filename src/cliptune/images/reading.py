"""What was understood of a data set, in words: layout, labels, what was left out and why.

It knows sentences, and nothing about files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Ignored", "Reading", "join_readings"]


@dataclass(frozen=True)
class Ignored:
    """Something that lies with the data and is not read.

    Attributes:
        n: How many of it.
        what: What it is, in the plural, e.g. ``files that are no images``.
        example: One of them, where its name is known.
        why: The reason, where ``what`` does not say it.
    """

    n: int
    what: str
    example: str
    why: str = ""

    def sentence(self) -> str:
        """Say it, without a full stop."""
        reason = f": {self.why}" if self.why else ""
        such = f" (such as {self.example!r})" if self.example else ""
        return f"{self.n} {self.what}{such}{reason}"


@dataclass(frozen=True)
class Reading:
    """How a data set was read.

    Attributes:
        layout: The kind of data set, e.g. ``class folders in folders of splits``.
        labels_from: Where labels come from, e.g. ``the names of folders``.
        notes: What was decided where there was something to decide, one sentence each.
        ignored: What was not read.
        order: How the classes are ordered, e.g. ``sorted by name``.
    """

    layout: str
    labels_from: str = ""
    notes: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    order: str = ""

    def add(self, *, notes: Sequence[str] = (), ignored: Sequence[Ignored] = ()) -> Reading:
        """Return it with more notes and more that was not read."""
        return replace(
            self, notes=(*self.notes, *notes), ignored=(*self.ignored, *(i for i in ignored if i.n))
        )


def join_readings(parts: Sequence[Reading]) -> Reading:
    """Put together what was understood of the parts of one data set, each sentence once."""
    first = parts[0]
    together: dict[tuple[str, str], Ignored] = {}
    for one in (ignored for part in parts for ignored in part.ignored):
        key = (one.what, one.why)
        before = together.get(key)
        together[key] = one if before is None else replace(before, n=before.n + one.n)
    return Reading(
        layout=first.layout,
        labels_from=next((part.labels_from for part in parts if part.labels_from), ""),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        ignored=tuple(together.values()),
    )
