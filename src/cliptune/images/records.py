"""What every kind of data set is turned into before it becomes a table.

It knows the words that data sets use for splits, and no file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cliptune.errors import DataError
from cliptune.images.sources import Source

__all__ = ["Columns", "Filter", "LabelledImages", "Records", "Values", "join_splits", "split_of"]

Filter = Mapping[str, Sequence[str]]
Values = list[Any]  # Any: cells as the file has them

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_of(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for the names that people use, else nothing."""
    return _SPLITS.get(name.strip().lower())


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; nothing means: find it by the usual names."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None


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
    """

    name: str
    columns: tuple[str, ...]
    n_rows: int
    read_column: Callable[[str], Values]
    read_sources: Callable[[str], list[Source]]
    label_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels that are still the data's own words.

    Attributes:
        sources: N images.
        labels: N labels, nothing where there is none.
        splits: N times ``train``, ``val``, ``test`` or nothing at all.
        classes: The labels that can occur, in the order of their classes; nothing when only
            the labels themselves tell.
        numbered: The labels are numbers that stand for unknown names.
        captions: N groups of texts, in data sets of captions.
    """

    sources: list[Source]
    labels: list[str | None]
    splits: list[str]
    classes: tuple[str, ...] | None = None
    numbered: bool = False
    captions: list[tuple[str, ...]] | None = None


def join_splits(parts: Sequence[LabelledImages], name: str) -> LabelledImages:
    """Put the files of one data set together.

    Raises:
        DataError: They name different classes, or only some have captions.
    """
    with_captions = [part.captions for part in parts if part.captions is not None]
    if with_captions and len(with_captions) != len(parts):
        raise DataError(f"only some files of {name!r} have captions; expected all or none")
    return LabelledImages(
        sources=[source for part in parts for source in part.sources],
        labels=[label for part in parts for label in part.labels],
        splits=[split for part in parts for split in part.splits],
        classes=_join_classes(parts, name),
        numbered=all(part.numbered for part in parts if any(part.labels)),
        captions=[c for captions in with_captions for c in captions] if with_captions else None,
    )


def _join_classes(parts: Sequence[LabelledImages], name: str) -> tuple[str, ...] | None:
    """Return the longest list of classes, when the others are parts of it in the same order."""
    declared = [part.classes for part in parts if part.classes is not None]
    if not declared:
        return None
    longest = max(declared, key=len)
    for classes in declared:
        if classes != tuple(c for c in longest if c in set(classes)):
            differing = sorted({*classes} ^ {*longest}) or ["their order"]
            raise DataError(
                f"the files of {name!r} name different classes ({', '.join(differing[:5])}); "
                "expected the same in each"
            )
    return longest
