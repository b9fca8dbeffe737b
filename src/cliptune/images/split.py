"""A validation split cut from the training images.

It knows labels and groups, never images. Own code instead of scikit-learn's splitters: they
leave small classes without validation images, or cut groups only into equal folds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cliptune.errors import DataError, InputError
from cliptune.images.table import ImageTable

__all__ = ["split_validation"]


def split_validation(
    table: ImageTable, fraction: float, *, seed: int, groups: ArrayLike | None = None
) -> ImageTable:
    """Move a share of the training images of every class to the split ``val``.

    Stratified: each class gives ``round(fraction * its images)``, at least one and never all,
    as far as its groups allow. Images without a label stay in ``train``, images of the split
    ``test`` stay there.

    Args:
        table: N images; those of the split ``train``, or of none, are divided.
        fraction: Share of the validation images, between 0 and 1.
        seed: The same seed gives the same split.
        groups: N values; images of one value, such as near-duplicates, stay on one side.

    Returns:
        The table with every divided image in ``train`` or ``val``.

    Raises:
        InputError: ``fraction`` is out of range, or ``groups`` has another length.
        DataError: There is a validation split already, or a class would be empty on one side.
    """
    if not 0 < fraction < 1:
        raise InputError(f"validation fraction {fraction} is out of range; give one in (0, 1)")
    if (table.splits == "val").any():
        raise DataError(f"{table.root!r} has a validation split already; use it")
    group_of = np.arange(len(table)) if groups is None else np.asarray(groups)
    if group_of.shape != (len(table),):
        raise InputError(f"{group_of.shape} groups came for {len(table)} images; expected one each")
    rows = np.flatnonzero((table.splits != "test") & (table.labels >= 0))
    quota = _quotas(table, rows, fraction)
    chosen = _choose(table.labels, rows, group_of, quota, seed)
    for label in sorted(set(quota) - set(table.labels[chosen].tolist())):
        raise DataError(
            f"the class {table.class_names[label]!r} would have no validation image, because too "
            "many of its images are one group; take a larger fraction or add images"
        )
    splits = np.where(table.splits == "test", "test", "train")
    splits[chosen] = "val"
    return replace(table, splits=splits.astype(np.str_))


def _quotas(table: ImageTable, rows: NDArray[np.int64], fraction: float) -> dict[int, int]:
    counts = Counter(table.labels[rows].tolist())
    if not counts:
        raise DataError(f"{table.root!r} has no labelled training images to divide")
    for label, count in sorted(counts.items()):
        if count < 2:
            raise DataError(
                f"the class {table.class_names[label]!r} has {count} training image; expected at "
                "least 2, one for training and one for validation"
            )
    return {label: min(max(1, round(fraction * n)), n - 1) for label, n in counts.items()}


def _choose(
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    group_of: NDArray[np.generic],
    quota: dict[int, int],
    seed: int,
) -> list[int]:
    """Take whole groups in random order as long as they fit what their classes still lack."""
    members: dict[object, list[int]] = defaultdict(list)
    for row, group in zip(rows.tolist(), group_of[rows].tolist(), strict=True):
        members[group].append(row)
    order = list(members)
    np.random.default_rng(seed).shuffle(order)
    lacking, chosen = Counter(quota), list[int]()
    for group in order:
        if len(members[group]) == 1:  # as most are: counted without counters
            label = int(labels[members[group][0]])
            if lacking[label] > 0:
                lacking[label] -= 1
                chosen += members[group]
            continue
        counts = Counter(labels[members[group]].tolist())
        if counts <= lacking:
            lacking -= counts
            chosen += members[group]
    return chosen
