"""What every kind of data set is turned into before it becomes a table.

It knows no file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cliptune.errors import DataError
from cliptune.images.confidence import Confidence
from cliptune.images.reading import Ignored, Reading, join_readings
from cliptune.images.sources import Source, take

__all__ = [
    "VIEWS",
    "Columns",
    "Filter",
    "LabelledImages",
    "Records",
    "Values",
    "join_splits",
    "settle_lists",
]

Filter = Mapping[str, Sequence[str]]
# The column of what several views of one thing share.
VIEWS = "__sample__"

Values = list[Any]  # Any: cells as the file has them
LabelSet = tuple[str, ...] | None


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; nothing means: find it by the usual names."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None
    group: str | None = None
    confidence: str | None = None


@dataclass(frozen=True)
class Records:
    """A manifest's rows, whatever file they came from.

    Attributes:
        name: What to call the manifest in messages.
        columns: The names of its columns.
        n_rows: How many rows there are.
        read_column: From a column's name to its cells.
        read_sources: From the image column's name to the rows' images.
        label_names: From a column of integers to the names that the file gives them.
        kind: What kind of file it is, in a word.
        notes: What was decided when it was read, one sentence each.
        ignored: What of it was not read.
    """

    name: str
    columns: tuple[str, ...]
    n_rows: int
    read_column: Callable[[str], Values]
    read_sources: Callable[[str], list[Source]]
    label_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind: str = "table"
    notes: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels that are still the data's own words.

    Attributes:
        sources: N images.
        labels: N labels, nothing where there is none; all nothing where images have several.
        splits: N times ``train``, ``val``, ``test`` or nothing at all.
        classes: The labels that can occur, in the order of their classes; nothing when only
            the labels themselves tell.
        numbered: The labels are numbers that stand for unknown names.
        captions: N groups of texts, in data sets of captions.
        label_sets: N sets of labels where images may have several, nothing for an image of which
            nothing is known; an empty set is an image to which no label applies.
        in_lists: The sets are lists of labels, and it is not yet known whether any file of the
            data set has a list of several.
        numbers: From class to its number, where the data give both.
        groups: N names of what an image belongs with, such as a patient.
        confidence: How sure N labels are; see ``confidence``.
        reading: How all this was read.
    """

    sources: Sequence[Source]
    labels: list[str | None]
    splits: list[str]
    classes: tuple[str, ...] | None = None
    numbered: bool = False
    captions: list[tuple[str, ...]] | None = None
    label_sets: list[LabelSet] | None = None
    in_lists: bool = False
    numbers: Mapping[str, int] | None = None
    groups: list[str] | None = None
    confidence: list[Confidence] | None = None
    reading: Reading | None = None

    def keep(self, rows: Sequence[int]) -> LabelledImages:
        """Return these rows of it; the classes stay."""
        return replace(
            self,
            sources=take(self.sources, rows),
            labels=[self.labels[r] for r in rows],
            splits=[self.splits[r] for r in rows],
            captions=None if self.captions is None else [self.captions[r] for r in rows],
            label_sets=None if self.label_sets is None else [self.label_sets[r] for r in rows],
            groups=None if self.groups is None else [self.groups[r] for r in rows],
            confidence=None if self.confidence is None else [self.confidence[r] for r in rows],
        )

    @property
    def n_labelled(self) -> int:
        """How many images have a label, or a set of them."""
        known = self.label_sets if self.label_sets is not None else self.labels
        return sum(label is not None for label in known)


def settle_lists(parts: Sequence[LabelledImages]) -> list[LabelledImages]:
    """Decide for all files of a data set together whether lists of labels are sets or one label.

    Where no list holds several, an image has one label, and an empty list is none.
    """
    lists = [part for part in parts if part.in_lists]
    if not lists:
        return list(parts)
    several = any(part.label_sets is not None and not part.in_lists for part in parts) or any(
        len(labels or ()) > 1 for part in lists for labels in part.label_sets or ()
    )
    return [_settled(part, several) if part.in_lists else part for part in parts]


def _settled(part: LabelledImages, several: bool) -> LabelledImages:
    if several:
        return replace(part, in_lists=False)
    labels = [labels[0] if labels else None for labels in part.label_sets or ()]
    return replace(part, labels=labels, label_sets=None, in_lists=False)


def join_splits(parts: Sequence[LabelledImages], name: str) -> LabelledImages:
    """Put the files of one data set together.

    Raises:
        DataError: They name different classes, or only some have captions.
    """
    with_captions = [part.captions for part in parts if part.captions is not None]
    if with_captions and len(with_captions) != len(parts):
        raise DataError(f"only some files of {name!r} have captions; expected all or none")
    labelled = [part for part in parts if part.n_labelled]
    numbered = [part for part in labelled if part.numbered]
    if numbered and len(numbered) < len(labelled):
        raise DataError(
            f"some files of {name!r} have numbers as labels ({_first_label(numbered[0])}) and some "
            f"words ({next(_first_label(p) for p in labelled if not p.numbered)}); name the label "
            "column with --label-column"
        )
    readings = [part.reading for part in parts if part.reading is not None]
    classes, numbers = _join_classes(parts, name)
    several = any(part.label_sets is not None for part in parts)
    return LabelledImages(
        sources=[source for part in parts for source in part.sources],
        labels=[None if several else label for part in parts for label in part.labels],
        splits=[split for part in parts for split in part.splits],
        classes=classes,
        numbered=bool(numbered),
        captions=[c for captions in with_captions for c in captions] if with_captions else None,
        label_sets=[s for part in parts for s in _sets_of(part)] if several else None,
        numbers=numbers,
        groups=_join_groups(parts),
        confidence=_join_confidence(parts),
        reading=join_readings(readings) if readings else None,
    )


def _first_label(part: LabelledImages) -> str:
    sets = part.label_sets or [None if label is None else (label,) for label in part.labels]
    return repr(next((s[0] for s in sets if s), ""))


def _sets_of(part: LabelledImages) -> list[LabelSet]:
    if part.label_sets is not None:
        return part.label_sets
    return [None if label is None else (label,) for label in part.labels]


def _join_groups(parts: Sequence[LabelledImages]) -> list[str] | None:
    if all(part.groups is None for part in parts):
        return None
    return [g for part in parts for g in part.groups or [""] * len(part.labels)]


def _join_confidence(parts: Sequence[LabelledImages]) -> list[Confidence] | None:
    if all(part.confidence is None for part in parts):
        return None
    return [c for part in parts for c in part.confidence or [None] * len(part.labels)]


Classes = tuple[tuple[str, ...] | None, Mapping[str, int] | None]


def _join_classes(parts: Sequence[LabelledImages], name: str) -> Classes:
    """Put lists of classes together: in the order of their numbers, else of the longest list.

    A part may lack classes that others have. Labels are names already, so the order of a list
    swaps none; only numbers can contradict each other.
    """
    declared = [part.classes for part in parts if part.classes is not None]
    if not declared:
        return None, None
    if all(part.numbers is not None for part in parts if part.classes):
        numbers = _join_numbers([part.numbers or {} for part in parts], name)
        return tuple(sorted(numbers, key=numbers.__getitem__)), numbers
    ordered = sorted(declared, key=len, reverse=True)
    return tuple(dict.fromkeys(c for classes in ordered for c in classes)), None


def _join_numbers(parts: Sequence[Mapping[str, int]], name: str) -> dict[str, int]:
    numbers: dict[str, int] = {}
    name_of: dict[int, str] = {}
    for label, number in ((label, n) for part in parts for label, n in part.items()):
        known = name_of.setdefault(number, label)
        if numbers.setdefault(label, number) != number or known != label:
            names = sorted({label for part in parts for label in part})
            raise DataError(
                f"the files of {name!r} name different classes ({', '.join(names[:5])}): "
                f"{label!r} has the number {numbers[label]} and {known!r} the number {number}; "
                "expected the same in each"
            )
    return numbers
