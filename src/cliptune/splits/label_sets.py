"""Who may see which image where images may have several labels.

It knows labels, embeddings and splits, and no method of training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError
from cliptune.images import ImageTable
from cliptune.splits.duplicates import group_duplicates, join_groups
from cliptune.splits.partition import LockedRows, name_roles
from cliptune.splits.stratify import stratify

__all__ = ["LabelPartition", "partition_label_sets", "require_enough_labels"]

_TEST_FRACTION = 0.2
_LEAST = 2  # images of a class, among those to learn from


@dataclass(frozen=True)
class LabelPartition:
    """The rows of a table by what they are for.

    Attributes:
        train: int64 rows to learn from.
        test: The locked rest.
        groups: int64 (N,): near-duplicates and named groups, which stay together.
        notes: What was done, one sentence each.
    """

    train: NDArray[np.int64]
    test: LockedRows
    groups: NDArray[np.int64]
    notes: tuple[str, ...]

    def roles(self, n_rows: int) -> NDArray[np.str_]:
        """Say what each row is for; see ``Partition.roles``."""
        return name_roles(n_rows, {"train": self.train}, self.test)


def partition_label_sets(
    table: ImageTable, truth: NDArray[np.bool_], vectors: NDArray[np.float32], *, seed: int
) -> LabelPartition:
    """Decide what each image is for.

    A split named test is the locked test, else val is; without either a fifth is cut, stratified
    by all labels, near-duplicates and groups together. All others are learned from.

    Args:
        table: N images, all labelled.
        truth: bool (N, C).
        vectors: float32 (N, D), their embeddings.
        seed: Of the cut.

    Raises:
        DataError: A part would be empty, or a class has too few images to learn from.
    """
    groups = group_duplicates(vectors)
    together = "near-duplicates"
    if table.groups is not None:
        groups, together = join_groups(groups, table.groups), "near-duplicates and groups"
    held = _held_split(table)
    if held is not None:
        test = np.flatnonzero(table.splits == held)
        train = np.flatnonzero(table.splits != held)
        notes = (f"the split {held} ({len(test)} images) is the locked test",)
    else:
        shares = (1 - _TEST_FRACTION, _TEST_FRACTION)
        parts = stratify(truth, groups, shares, seed=seed)
        train, test = np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)
        notes = (
            f"a locked test of {len(test)} images was cut, stratified by all labels, {together} on "
            "one side",
        )
    _require(table, truth, train, test)
    return LabelPartition(train, LockedRows(test), groups, notes)


def require_enough_labels(table: ImageTable, truth: NDArray[np.bool_]) -> None:
    """Refuse what no cut can mend, before an image is embedded.

    Args:
        table: N images.
        truth: bool (N, C).

    Raises:
        DataError: As for ``partition_label_sets``.
    """
    held = _held_split(table)
    everything = np.arange(len(table))
    if held is not None:
        is_test = table.splits == held
        _require(table, truth, everything[~is_test], everything[is_test])
    else:
        _require(table, truth, everything, everything if len(table) > 1 else everything[:0])


def _held_split(table: ImageTable) -> str | None:
    return next((s for s in ("test", "val") if (table.splits == s).any()), None)


def _require(
    table: ImageTable,
    truth: NDArray[np.bool_],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> None:
    if not len(train) or not len(test):
        raise DataError(
            f"{table.root!r} leaves {len(train)} images to learn from and {len(test)} to test on; "
            "expected some of both"
        )
    if not truth[test].any():
        raise DataError(
            f"none of the {len(test)} images of {table.root!r} to test on has a label; expected "
            "some that have"
        )
    counts = truth[train].sum(axis=0)
    few = [f"{table.class_names[c]!r} ({int(counts[c])})" for c in np.flatnonzero(counts < _LEAST)]
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        raise DataError(
            f"at least {_LEAST} images to learn from are needed of each class; too few of "
            f"{', '.join(few[:5])}{more}: label more, or leave these labels out"
        )
    full = [table.class_names[c] for c in np.flatnonzero(counts == len(train))]
    if full:
        raise DataError(
            f"every image to learn from is labelled {full[0]!r}: nothing can be told apart by it; "
            "leave the label out"
        )
