"""The part of a table that says what its images show, and whether that is enough.

It knows labels, and nothing about images or methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError, SeveralLabelsError
from cliptune.images.table import ImageTable

__all__ = [
    "labelled_part",
    "labelled_sets",
    "learnable_part",
    "refuse_label_sets",
    "require_classes",
    "require_labels",
]

_SHOWN = 8


def labelled_part(table: ImageTable) -> tuple[ImageTable, tuple[str, ...]]:
    """Return the images that have one label each, and a sentence about the others.

    Args:
        table: N images.

    Raises:
        DataError: None has a label, or images may have several.
    """
    refuse_label_sets(table)
    known = table.labels >= 0
    if known.all():
        return table, ()
    require_labels(table.select(known) if known.any() else table)
    missing = np.flatnonzero(~known)
    places = sorted({str(split) for split in table.splits[missing]} - {""})
    whole = [s for s in places if not known[table.splits == s].any()]
    where = f", among them all of the split {whole[0]}" if whole else ""
    example = table.sources[missing[0]].id
    note = (
        f"{len(missing)} of the {len(table)} images have no label{where}, such as {example!r}: "
        "they are left out here; 'cliptune predict' takes them"
    )
    return table.select(known), (note,)


def learnable_part(table: ImageTable) -> tuple[ImageTable, tuple[str, ...]]:
    """Return what a classifier can learn from: labelled images, and classes that have any.

    Args:
        table: N images.

    Returns:
        The table, and a sentence for whatever is left out.

    Raises:
        DataError: None has a label, or images may have several.
    """
    part, notes = labelled_part(table)
    present = np.unique(part.labels)
    if len(present) == len(part.class_names):
        return part, notes
    absent = [name for code, name in enumerate(part.class_names) if code not in set(present)]
    number = np.full(len(part.class_names), -1, dtype=np.int64)
    number[present] = np.arange(len(present))
    part = replace(
        part,
        labels=number[part.labels],
        class_names=tuple(part.class_names[code] for code in present),
        confidence=_renumbered(part.confidence, number),
    )
    more = f", and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
    listed = ", ".join(map(repr, absent[:_SHOWN])) + more
    return part, (*notes, f"no image of {listed}: nothing can be learned of it, it is left out")


def _renumbered(
    confidence: tuple[Mapping[int, float] | None, ...] | None, number: NDArray[np.int64]
) -> tuple[Mapping[int, float] | None, ...] | None:
    """Give shares the new numbers of their classes; a class that is left out loses its own."""
    if confidence is None:
        return None
    return tuple(
        None
        if shares is None
        else {int(number[code]): share for code, share in shares.items() if number[code] >= 0}
        for shares in confidence
    )


def require_labels(table: ImageTable) -> None:
    """Make sure that every image has one label.

    Raises:
        DataError: Some have none, or several; the message says how many and names one.
    """
    refuse_label_sets(table)
    missing = np.flatnonzero(table.labels < 0)
    if len(missing):
        raise DataError(
            f"{len(missing)} of the {len(table)} images of {table.root!r} have no label, such as "
            f"{table.sources[missing[0]].id!r}; expected class folders or a label column"
        )


def refuse_label_sets(table: ImageTable) -> None:
    """Make sure that images have one label each.

    Raises:
        SeveralLabelsError: They may have several; the message says how many have and names one.
    """
    if table.label_sets is None:
        return
    several = [row for row, labels in enumerate(table.label_sets) if labels and len(labels) > 1]
    example = ""
    if several:
        names = [table.class_names[code] for code in table.label_sets[several[0]] or ()]
        example = f", such as {table.sources[several[0]].id!r} with {', '.join(map(repr, names))}"
    raise SeveralLabelsError(
        f"{len(several)} of the {len(table)} images of {table.root!r} have several "
        f"labels{example}; this command takes one label an image: name a column of single "
        "labels with --label-column"
    )


def labelled_sets(table: ImageTable) -> tuple[ImageTable, tuple[str, ...]]:
    """Return the images of which anything is said, and classes that any of them has.

    Args:
        table: N images that may have several labels.

    Raises:
        DataError: No image is labelled, or fewer than two classes are.
    """
    sets = table.label_sets or tuple((c,) if c >= 0 else None for c in table.labels.tolist())
    known = np.array([labels is not None for labels in sets], dtype=bool)
    present = sorted({code for labels in sets for code in labels or ()})
    if len(present) < 2:
        raise DataError(
            f"{int(known.sum())} of the {len(table)} images of {table.root!r} are labelled, with "
            f"{len(present)} classes; expected two or more"
        )
    notes = []
    if not known.all():
        example = table.sources[int(np.flatnonzero(~known)[0])].id
        notes.append(
            f"{int((~known).sum())} of the {len(table)} images have no label, such as "
            f"{example!r}: they are left out here; 'cliptune predict' takes them"
        )
    if absent := [n for c, n in enumerate(table.class_names) if c not in set(present)]:
        more = f", and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        notes.append(f"no image of {', '.join(map(repr, absent[:_SHOWN]))}{more}: left out")
    number = {code: place for place, code in enumerate(present)}
    renamed = tuple(None if s is None else tuple(number[code] for code in s) for s in sets)
    names = tuple(table.class_names[code] for code in present)
    labels = np.full(len(table), -1, dtype=np.int64)
    table = replace(table, label_sets=renamed, class_names=names, labels=labels)
    return table.select(known), tuple(notes)


def require_classes(table: ImageTable, *, at_least: int = 2) -> None:
    """Make sure that there are enough classes to tell apart.

    Raises:
        DataError: There are fewer.
    """
    if len(table.class_names) < at_least:
        names = ", ".join(repr(name) for name in table.class_names) or "none"
        raise DataError(
            f"{table.root!r} has {len(table.class_names)} class ({names}); expected at least "
            f"{at_least}: one class folder or label value for each"
        )
