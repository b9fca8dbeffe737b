"""What a file of annotations says of images, whatever tool wrote it.

It knows names of images and labels, and no formats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.images.asked import Asked
from cliptune.images.reading import Ignored
from cliptune.images.records import LabelledImages, LabelSet
from cliptune.images.tree import Tree

__all__ = ["Annotated", "AnnotationReader", "TreeReader", "agree", "shares_of"]


@dataclass(frozen=True)
class Annotated:
    """What a file of annotations says.

    Attributes:
        layout: The tool and the format, in words.
        images: N names or paths of images, as the file has them.
        label_sets: N sets of labels; nothing where nobody said anything.
        classes: The classes in their order, where the file lists them.
        several: An image may have several labels by the nature of the format, as in detection.
        splits: N splits; nothing where the file's name tells.
        notes: What was decided, one sentence each.
        ignored: What was not read.
        votes: How many annotators gave each label, for N images that have one each; None where
            nobody said anything. Nothing where the format has one answer an image.
    """

    layout: str
    images: Sequence[str]
    label_sets: Sequence[LabelSet]
    classes: tuple[str, ...] | None = None
    several: bool = False
    splits: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    votes: Sequence[Mapping[str, float] | None] | None = None


@dataclass(frozen=True)
class AnnotationReader:
    """A format that is a file of annotations.

    Attributes:
        name: What it is called.
        suffix: Of its files.
        read: From a path and what the file holds (JSON values, or the path again for others) to
            what it says; nothing where it is of another format.
    """

    name: str
    suffix: str
    read: Callable[[Path, Any], Annotated | None]  # Any: a JSON value of a stranger


@dataclass(frozen=True)
class TreeReader:
    """A format that is a folder as a whole.

    Attributes:
        name: What it is called.
        read: From the folder and the user's options to its images; nothing where it is of another
            format.
    """

    name: str
    read: Callable[[Tree, Asked], LabelledImages | None]


def agree(answers: Sequence[tuple[str, ...]]) -> tuple[LabelSet, bool]:
    """Take what most annotators of an image say.

    Args:
        answers: The labels that each of them gave.

    Returns:
        The labels, nothing where no answer leads; and whether all said the same.
    """
    counts = Counter(tuple(sorted(answer)) for answer in answers).most_common(2)
    if not counts:
        return None, True
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return None, False
    return counts[0][0], len(counts) == 1


def shares_of(answers: Sequence[tuple[str, ...]]) -> dict[str, float] | None:
    """Return the share of annotators who gave each label; None where one gave not exactly one.

    Args:
        answers: The labels that each of them gave.
    """
    if not answers or any(len(answer) != 1 for answer in answers):
        return None
    counts = Counter(answer[0] for answer in answers)
    return {label: n / len(answers) for label, n in counts.items()}


def votes_in_words(n_split: int, n_tied: int) -> tuple[str, ...]:
    """Say how annotators disagreed."""
    notes = []
    if n_split:
        notes.append(f"annotators of {n_split} images disagree: most of them decide")
    if n_tied:
        notes.append(f"annotators of {n_tied} images disagree without a majority: no label")
    return tuple(notes)


def ordered(names: Mapping[int, str]) -> tuple[str, ...]:
    """Return names in the order of their numbers."""
    return tuple(names[number] for number in sorted(names))
