"""The images of one unit as a table, where nobody knows yet which classes the others have.

It knows labels as the data have them, and no files. A class has a number only where the data say
it, or the names that the user gave; what is counted in one unit would be another in the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cliptune.errors import DataError, InputError
from cliptune.images.names import (
    ClassNames,
    GivenNames,
    clean_class_name,
    is_numbering,
    name_classes,
)
from cliptune.images.number_forms import in_class_order
from cliptune.images.records import LabelledImages
from cliptune.images.table import ImageTable

__all__ = ["UnitTable", "make_unit_table"]


@dataclass(frozen=True)
class UnitTable:
    """The images of a unit.

    Attributes:
        table: n images, with C classes.
        numbers: Of each class, the number that the data or the user give it; None for none.
    """

    table: ImageTable
    numbers: tuple[int | None, ...]


def make_unit_table(images: LabelledImages, given: GivenNames | None, origin: str) -> UnitTable:
    """Name the classes of a unit's images.

    Args:
        images: n images as the unit labels them.
        given: Names of classes that the user gave, for all units.
        origin: The unit, for messages.

    Raises:
        DataError: There are no images, or two have one id, or two classes one name.
        InputError: The names do not fit the labels.
    """
    if not len(images.sources):
        raise DataError(f"{origin!r} has no images; expected at least one")
    if len({source.id for source in images.sources}) < len(images.sources):
        raise DataError(f"{origin!r} gives one name to two images; rename files that differ")
    labels = in_class_order({label for label in images.labels if label is not None})
    names, numbers = _name(labels, images, given, origin)
    codes = [-1 if label is None else names.code_of[label] for label in images.labels]
    table = ImageTable(
        sources=images.sources,
        labels=np.asarray(codes, dtype=np.int64),
        splits=np.asarray(images.splits, dtype=np.str_),
        class_names=names.names,
        root=origin,
    )
    return UnitTable(table, numbers)


def _name(
    labels: Sequence[str], images: LabelledImages, given: GivenNames | None, origin: str
) -> tuple[ClassNames, tuple[int | None, ...]]:
    if isinstance(given, Mapping) and is_numbering(given, labels):
        given = [given[number] for number in sorted(given, key=int)]
    if given is not None and not isinstance(given, Mapping):
        listed = [" ".join(name.split()) for name in given]
        code_of = _places(labels, listed, origin, numbered=images.numbered)
        return ClassNames(tuple(listed), code_of), tuple(range(len(listed)))
    names = name_classes(labels, given, numbered=images.numbered, origin=origin)
    known = images.numbers or ({label: int(label) for label in labels} if images.numbered else {})
    return names, tuple(known.get(label) for label in labels)


def _places(
    labels: Sequence[str], names: Sequence[str], origin: str, *, numbered: bool
) -> dict[str, int]:
    """Find labels in a list of names: numbers count into it from 0, words are among it."""
    if numbered:
        found = {label: int(label) for label in labels}
    else:
        by_name = {clean_class_name(name).casefold(): n for n, name in enumerate(names)}
        found = {label: by_name.get(clean_class_name(label).casefold(), -1) for label in labels}
    for label, place in found.items():
        if not 0 <= place < len(names):
            raise InputError(
                f"the label {label!r} of {origin!r} is not among the {len(names)} class names "
                "given (numbers count from 0); add it, or give a JSON object from label to name"
            )
    return found
