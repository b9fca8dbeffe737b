"""Who may see which image: training, validation, and a test that stays locked.

It knows labels, embeddings and splits, and no method of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable
from cliptune.images.split import split_validation
from cliptune.splits.duplicates import (
    DuplicatePairs,
    find_duplicates,
    group_duplicates,
    join_groups,
)

__all__ = [
    "Assigned",
    "LockedRows",
    "Partition",
    "assigned_rows",
    "cut_validation",
    "draw_shots",
    "name_roles",
    "partition_table",
    "rehearse_partition",
]

_TEST_FRACTION = 0.2


@dataclass
class LockedRows:
    """The test rows of a run, handed out once.

    Attributes:
        n: How many there are; no secret.
    """

    _rows: NDArray[np.int64]
    _opened: bool = field(default=False, init=False)

    @property
    def n(self) -> int:
        """Number of test rows."""
        return len(self._rows)

    def open(self) -> NDArray[np.int64]:
        """Hand out the rows, once, after everything has been selected.

        Raises:
            RuntimeError: They were handed out before: whoever asks selects on the test.
        """
        if self._opened:
            raise RuntimeError("the locked test was opened before; score everything at once")
        self._opened = True
        return self._rows


@dataclass(frozen=True)
class Partition:
    """The rows of a table by what they are for.

    Attributes:
        train: int64 rows to learn from.
        val: int64 rows to select on.
        test: The locked rest.
        notes: What was done, one sentence each, for the output and the record.
        duplicates: Pairs that look alike across what came as different splits, in rows of the
            table: the first in training or validation, the second in the test.
        groups: int64 (N,), what stays on one side, for every row of the table; None where that was
            not asked of all rows together, because the test came as a split of its own.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: LockedRows
    notes: tuple[str, ...]
    duplicates: DuplicatePairs
    groups: NDArray[np.int64] | None = None

    def roles(self, n_rows: int) -> NDArray[np.str_]:
        """Say what each row is for, ``train``, ``val`` or ``test``, str (n_rows,); else empty.

        For the record of which images a run rests on; nothing may be chosen by it, for it tells
        the locked rows without opening them.
        """
        return name_roles(n_rows, {"train": self.train, "val": self.val}, self.test)


def name_roles(
    n_rows: int, parts: Mapping[str, NDArray[np.int64]], test: LockedRows
) -> NDArray[np.str_]:
    """Write what rows are for beside each row, str (n_rows,); the test stays locked."""
    roles = np.full(n_rows, "", dtype="<U5")
    for role, rows in (*parts.items(), ("test", test._rows)):
        roles[rows] = role
    return roles


def partition_table(
    table: ImageTable, vectors: NDArray[np.float32], *, val_fraction: float | None, seed: int
) -> Partition:
    """Decide what each labelled image is for.

    A split named test is the locked test. Where there is none beside train and val, val is the
    locked test. Without splits a test is cut. Validation is the split of that name where a test
    stands beside it, else it is cut from train: stratified, seeded, near-duplicates together.

    Args:
        table: N images, all labelled.
        vectors: float32 (N, D), their embeddings.
        val_fraction: Share of the training images that are cut for validation; None where all
            images outside the test are learned from, those of a split val included.
        seed: Seed of the cuts.

    Raises:
        DataError: A class would be empty on one side.
    """
    notes: list[str] = []
    pool, val, test, groups = _roles(table, vectors, notes, seed)
    if val_fraction is None:
        if val is not None:
            notes.append(f"the split val ({len(val)} images) is learned from like train")
            pool = np.sort(np.concatenate([pool, val]))
        val = pool[:0]
    elif val is None:
        pool, val, note = cut_validation(
            table, vectors, pool, val_fraction=val_fraction, seed=seed, groups=groups
        )
        notes.append(note)
    _require_all_classes(table, pool, "training")
    seen = np.concatenate([pool, val])
    notes += _split_groups(table, seen, test)
    pairs = _pairs_across(vectors, seen, test, groups)
    if len(pairs):
        notes.append(
            f"{len(set(pairs.second.tolist()))} test images have a near-duplicate in training or "
            "validation; they are listed in near_duplicates.csv"
        )
    return Partition(pool, val, LockedRows(test), tuple(notes), pairs, groups)


def _pairs_across(
    vectors: NDArray[np.float32],
    seen: NDArray[np.int64],
    test: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> DuplicatePairs:
    if groups is not None and not np.isin(groups[test], groups[seen]).any():
        return _NO_PAIRS
    across = find_duplicates(vectors[seen], vectors[test])
    return DuplicatePairs(seen[across.first], test[across.second], across.similarity, across.n_all)


_NO_ROWS = np.zeros(0, np.int64)
_NO_PAIRS = DuplicatePairs(_NO_ROWS, _NO_ROWS, np.zeros(0, np.float32))


def rehearse_partition(table: ImageTable, *, val_fraction: float | None, seed: int) -> Partition:
    """Divide a table as if no two images were alike, before any of them is embedded.

    What numbers of images alone rule out is found so. Near-duplicates stay on one side later,
    which leaves no class fewer training images than here.

    Args:
        table: N images, all labelled.
        val_fraction: As for ``partition_table``, like the seed.
        seed: Of the cuts.

    Returns:
        A partition without a test: it is not to be looked at.

    Raises:
        DataError: A class would be empty on one side.
    """
    assigned = assigned_rows(table)
    if assigned is None:
        everything = np.arange(len(table))
        pool, _ = _cut(table, everything, everything, _TEST_FRACTION, seed)
    else:
        pool = assigned.train
    val = pool[:0] if assigned is None or assigned.val is None else assigned.val
    if val_fraction is None:
        train, val = np.sort(np.concatenate([pool, val])), val[:0]
    elif len(val):
        train = pool
    else:
        train, val = _cut(table, pool, np.arange(len(pool)), val_fraction, seed)
    _require_all_classes(table, train, "training")
    return Partition(train, val, LockedRows(_NO_ROWS), (), _NO_PAIRS)


@dataclass(frozen=True)
class Assigned:
    """What the splits of a table say about its rows, before any image is looked at.

    Attributes:
        train: int64 rows to learn from.
        val: int64 rows to select on, or None where they are to be cut from ``train``.
        test: int64 rows that stay locked.
        note: The same in a sentence.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64] | None
    test: NDArray[np.int64]
    note: str


def assigned_rows(table: ImageTable) -> Assigned | None:
    """Read off the splits which rows are locked; None where a test has to be cut."""
    rows = {name: np.flatnonzero(table.splits == name) for name in ("train", "val", "test")}
    there = {name for name, part in rows.items() if len(part)}
    if {"train", "test"} <= there:
        note = f"the split test ({len(rows['test'])} images) is locked until the end"
        return Assigned(rows["train"], rows["val"] if "val" in there else None, rows["test"], note)
    if there == {"train", "val"}:
        note = f"there is no split test: val ({len(rows['val'])} images) is the locked test"
        return Assigned(rows["train"], None, rows["val"], note)
    return None


def cut_validation(
    table: ImageTable,
    vectors: NDArray[np.float32],
    pool: NDArray[np.int64],
    *,
    val_fraction: float,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Divide training rows: stratified, seeded, near-duplicates together.

    Args:
        table: N images.
        vectors: float32 (N, D), their embeddings.
        pool: int64 rows to divide.
        val_fraction: Share of them for validation.
        seed: Seed of the cut.
        groups: int64 (N,), what stays on one side; found from the vectors otherwise.

    Returns:
        Rows to learn from, rows to select on, and a sentence about it.
    """
    own = _groups(table, vectors, pool) if groups is None else groups[pool]
    train, val = _cut(table, pool, own, val_fraction, seed)
    note = (
        f"validation: {len(val)} images cut from training (stratified, seed {seed}, "
        f"{_together(table)} on one side)"
    )
    return train, val, note


_Rows = NDArray[np.int64]


def _roles(
    table: ImageTable, vectors: NDArray[np.float32], notes: list[str], seed: int
) -> tuple[_Rows, _Rows | None, _Rows, _Rows | None]:
    """Return training, validation and test rows, and the groups that the test was cut by."""
    assigned = assigned_rows(table)
    if assigned is not None:
        notes.append(assigned.note)
        return assigned.train, assigned.val, assigned.test, None
    everything = np.arange(len(table))
    groups = _groups(table, vectors, everything)
    pool, test = _cut(table, everything, groups, _TEST_FRACTION, seed)
    notes.append(
        f"the data come without a test: {len(test)} images were cut and locked (stratified, "
        f"seed {seed}, {_together(table)} on one side)"
    )
    return pool, None, test, groups


def _groups(
    table: ImageTable, vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Number what stays on one side: near-duplicates, and images of one named group."""
    groups = group_duplicates(vectors[rows])
    return groups if table.groups is None else join_groups(groups, table.groups[rows])


def _together(table: ImageTable) -> str:
    return "near-duplicates" if table.groups is None else "near-duplicates and groups"


def _split_groups(table: ImageTable, seen: NDArray[np.int64], test: NDArray[np.int64]) -> list[str]:
    """Say which groups the splits of the data set tear apart."""
    if table.groups is None:
        return []
    torn = sorted((set(table.groups[seen]) & set(table.groups[test])) - {""})
    if not torn:
        return []
    names = ", ".join(torn[:5]) + (f" and {len(torn) - 5} more" if len(torn) > 5 else "")
    groups = f"{len(torn)} group{'s' if len(torn) > 1 else ''}"
    return [
        f"the splits of the data set put {groups} on both sides of the test, which makes it too "
        f"easy: {names}"
    ]


def _cut(
    table: ImageTable,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    fraction: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    part = table.select(rows)
    part = ImageTable(
        sources=part.sources,
        labels=part.labels,
        splits=np.full(len(part), "", dtype=np.str_),
        class_names=part.class_names,
        root=part.root,
    )
    divided = split_validation(part, fraction, seed=seed, groups=groups)
    return rows[divided.splits == "train"], rows[divided.splits == "val"]


def _require_all_classes(table: ImageTable, rows: NDArray[np.int64], what: str) -> None:
    present = set(table.labels[rows].tolist())
    for label, name in enumerate(table.class_names):
        if label not in present:
            raise DataError(f"class {name!r} has no image in {what}; add some or leave it out")


def draw_shots(
    labels: NDArray[np.int64],
    partition: Partition,
    *,
    shots: int,
    class_names: tuple[str, ...],
    seed: int,
) -> NDArray[np.int64]:
    """Draw a few training images per class, which is all that a few-shot result rests on.

    Args:
        labels: int (N,), of the whole table.
        partition: Where the images come from: training and validation.
        shots: Images per class.
        class_names: C names, for messages.
        seed: Seed of the draw.

    Returns:
        int64 rows, sorted.

    Raises:
        InputError: ``shots`` is below 1.
        DataError: A class has fewer images than that.
    """
    if shots < 1:
        raise InputError(f"--shots {shots} leaves nothing to learn from; give 1 or more")
    pool = np.sort(np.concatenate([partition.train, partition.val]))
    return _draw(labels, pool, shots, class_names, np.random.default_rng(seed))


def _draw(
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    n: int,
    class_names: tuple[str, ...],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    drawn = []
    for label, name in enumerate(class_names):
        own = rows[labels[rows] == label]
        if len(own) < n:
            raise DataError(
                f"class {name!r} has {len(own)} images to draw from, {n} are needed; "
                "take fewer --shots or add images"
            )
        drawn.append(rng.choice(own, n, replace=False))
    return np.sort(np.concatenate(drawn))
