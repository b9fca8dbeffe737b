"""A table whose labels are those of a journal, where it says any.

It knows tables and acts, and nothing about how either is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cliptune.annotations.standing import Standing
from cliptune.images import ImageTable, refuse_label_sets

__all__ = ["apply_journal"]


def apply_journal(
    table: ImageTable, contents: Sequence[str], standing: Standing
) -> tuple[ImageTable, tuple[str, ...]]:
    """Put what people said in place of what the data set says.

    Classes that people named come after those of the data set. An image that is of none of them
    loses its label; one that was skipped keeps what it had. What people said is certain. Where
    the data set has no splits and images are reserved for the test, these become its test and all
    others its train.

    Args:
        table: N images.
        contents: N digests, in hex.
        standing: What acts add up to.

    Returns:
        The table, and sentences about what was done.

    Raises:
        DataError: Images of the table may have several labels.
    """
    refuse_label_sets(table)
    new = [name for name in standing.class_names if name not in table.class_names]
    names = (*table.class_names, *new)
    code_of = {name: code for code, name in enumerate(names)}
    labels, splits = table.labels.copy(), table.splits.astype("<U10")
    confidence = None if table.confidence is None else list(table.confidence)
    said = changed = 0
    for row, image in enumerate(contents):
        answer = standing.answer(image)
        if answer is None or answer.mark == "skip":
            continue
        labels[row] = code_of[answer.label] if answer.mark == "label" else -1
        if confidence is not None:
            confidence[row] = None
        said += 1
        changed += int(labels[row] != table.labels[row] >= 0)
        if answer.mark == "label" and splits[row] == "unlabelled":
            splits[row] = "train"
    if standing.reserved and not (table.splits != "").any():
        is_test = np.array([image in standing.reserved for image in contents])
        splits = np.where(is_test, "test", "train")
    gone = len(set(standing.images()) - set(contents))
    notes = [f"{said} labels come from a journal, {changed} of them in place of another"]
    if gone:
        notes.append(f"{gone} images of the journal are not in {table.root!r}: their acts stay")
    labelled = replace(
        table,
        labels=labels,
        splits=splits,
        class_names=names,
        confidence=None if confidence is None else tuple(confidence),
    )
    return labelled, tuple(notes)
