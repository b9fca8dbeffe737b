"""What each row of a job is for, by its split and a hash of its id: a byte a row is kept.

It sees ids, labels and splits, and no vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError, InputError
from cliptune.scale.manifest import spoilt_part
from cliptune.scale.reading import JobRows, RowBatch

__all__ = ["Role", "Roles", "assign_roles", "most_held"]

_TEST_SHARE = 0.2
_HELD_SHARE = 0.2
_BINS = 256  # of the hashes of a class's ids; a cut falls between two
_MOST_HELD = 20_000  # rows: half a point of accuracy, at 90 %
_MOST_NUMBERS = 8_000_000  # logits of held-out rows
_SPLITS = ("train", "val", "test")
_NO_SPLIT, _OTHER = 3, 4
Progress = Callable[[int, int], None]


class Role(IntEnum):
    """What a row is for."""

    NONE = 0
    """Nothing: it has no label, or a split that is none of train, val and test."""
    TRAIN = 1
    """To learn from."""
    HELD = 2
    """To compare on; learned from in the end."""
    REST = 3
    """Of the split val beyond what is compared on; learned from in the end."""
    TEST = 4
    """Locked until the end."""


@dataclass(frozen=True)
class Roles:
    """The roles of all rows.

    Attributes:
        of: uint8 (N,), a ``Role`` each.
        class_names: The C classes with labels outside the test.
        number_of: int64 (L,), the number of each class of the job among these, -1 for others.
        counts: int64 (5, C), rows of each role and class.
        notes: What was done, one sentence each.
        without_label: Rows that have no label.
    """

    of: NDArray[np.uint8]
    class_names: tuple[str, ...]
    number_of: NDArray[np.int64]
    counts: NDArray[np.int64]
    notes: tuple[str, ...]
    without_label: int

    def n(self, *roles: Role) -> int:
        """Return how many rows have one of these roles."""
        return int(self.counts[list(roles)].sum())


@dataclass(frozen=True)
class _Found:
    """Labels and splits of a job: how many, int64 (5, L), and of each class by hash."""

    counts: NDArray[np.int64]
    hashes: NDArray[np.int32]  # (5, L, _BINS)
    bins: NDArray[np.uint8]
    without_label: int


@dataclass(frozen=True)
class _Cut:
    """Which splits are what, and below which bins rows of a class go elsewhere, int64 (L,)."""

    learned: tuple[int, ...]
    held_from: tuple[int, ...]
    test: tuple[int, ...]
    test_below: NDArray[np.int64]
    held_below: NDArray[np.int64]


def most_held(n_classes: int) -> int:
    """Return how many rows are held out at most, for C classes."""
    return min(_MOST_HELD, max(2000, _MOST_NUMBERS // n_classes))


def assign_roles(
    job: JobRows, *, seed: int, val: float | None = None, progress: Progress = lambda a, b: None
) -> Roles:
    """Decide what each row is for, as ``partition_table`` does for images in memory.

    A split named test is the locked test; where there is none beside train and val, val is; where
    there is neither, a fifth of each class. What is held out to compare on is val where a test
    stands beside it, else a fifth of each class, both up to ``most_held`` rows. Cuts go by a
    seeded hash of the id, class by class. Near-duplicates are not looked for.

    Args:
        job: The rows.
        seed: Of the cuts.
        val: Share of the training rows to hold out.
        progress: Called with rows done and rows in all.

    Raises:
        DataError: There are no labels, or of one class only, or nothing can be held out.
        InputError: The share cannot be held out.
    """
    names = job.class_names()
    found = _look(job, len(names), seed, progress)
    _require_labels(found, names, job)
    cut, notes = _plan(found, seed, val)
    roles, counts = _assign(job, found, cut, len(names))
    return _finish(found, cut, roles, counts, names, tuple(notes))


def _look(job: JobRows, n_labels: int, seed: int, progress: Progress) -> _Found:
    counts = np.zeros((5, n_labels), np.int64)
    hashes = np.zeros((5, n_labels, _BINS), np.int32)
    bins, without = np.zeros(job.n_rows, np.uint8), 0
    key = f"cliptune-{seed}".encode()
    progress(0, job.n_rows)
    for batch in job.batches(["id", "label", "split"]):
        labels, splits = _labels(batch, n_labels, job), _splits(batch)
        own = _bins(batch, key)
        bins[batch.start : batch.start + len(batch)] = own
        known = labels >= 0
        without += int((~known).sum())
        np.add.at(counts, (splits[known], labels[known]), 1)
        np.add.at(hashes, (splits[known], labels[known], own[known]), 1)
        progress(batch.start + len(batch), job.n_rows)
    return _Found(counts, hashes, bins, without)


def _labels(batch: RowBatch, n_labels: int, job: JobRows) -> NDArray[np.int64]:
    column = batch.columns.column("label")
    labels: NDArray[np.int64] = np.asarray(column.fill_null(-1).to_numpy(zero_copy_only=False))
    if len(labels) and (labels.max() >= n_labels or labels.min() < -1):
        raise spoilt_part(
            job.folder / job.parts[batch.part].file, f"labels run up to {labels.max()}"
        )
    return labels.astype(np.int64)


def _splits(batch: RowBatch) -> NDArray[np.int64]:
    """Return the number of each row's split: train, val, test, none, another."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.columns.column("split").fill_null("")
    found = pc.index_in(column, value_set=pa.array([*_SPLITS, ""])).fill_null(_OTHER)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)


def _bins(batch: RowBatch, key: bytes) -> NDArray[np.uint8]:
    ids: list[str | None] = batch.columns.column("id").to_pylist()
    digests = b"".join(
        blake2b((one or "").encode("utf-8", "backslashreplace"), digest_size=1, key=key).digest()
        for one in ids
    )
    return np.frombuffer(digests, np.uint8)


def _require_labels(found: _Found, names: tuple[str, ...], job: JobRows) -> None:
    there = np.flatnonzero(found.counts[:_OTHER].sum(axis=0))
    if not len(there):
        raise DataError(
            f"the {job.n_rows} rows in {str(job.folder)!r} have no labels; embed labelled images"
        )
    if len(there) == 1:
        raise DataError(
            f"all labels in {str(job.folder)!r} are {names[there[0]]!r}, which is one class; "
            "expected two or more"
        )


def _plan(found: _Found, seed: int, val: float | None) -> tuple[_Cut, list[str]]:
    there = {number for number in range(3) if found.counts[number].any()}
    n_labels = found.counts.shape[1]
    nothing, everything = np.zeros(n_labels, np.int64), (0, 1, 2, _NO_SPLIT)
    notes = []
    test: tuple[int, ...] = ()
    learned: tuple[int, ...] = (0,)
    below = nothing
    if {0, 2} <= there:
        test = (2,)
        notes.append(f"the split test ({found.counts[2].sum()} rows) is locked until the end")
    elif there == {0, 1}:
        test = (1,)
        notes.append(f"there is no split test: val ({found.counts[1].sum()} rows) is locked")
    else:
        learned = everything
        below = _below(found, everything, _TEST_SHARE, nothing)
        notes.append(f"the rows come without a test: a fifth of each class is locked (seed {seed})")
    has_val = {0, 1, 2} <= there
    if has_val and val is not None:
        raise InputError(
            f"--val {val:g} came, and the rows have a split val, which is held out; leave --val out"
        )
    held_from = (1,) if has_val else learned
    share = _held_share(found, held_from, below, has_val, val)
    if has_val:
        notes.append(f"the split val ({found.counts[1].sum()} rows) is learned from in the end")
        held = np.full(n_labels, _BINS) if share == 1 else _below(found, held_from, share, nothing)
        held[found.counts[0] == 0] = 0  # its rows are the only ones to learn the class from
    else:
        held = _below(found, held_from, share, below)
    return _Cut(learned, held_from, test, below, held), notes


def _held_share(
    found: _Found,
    held_from: tuple[int, ...],
    below: NDArray[np.int64],
    has_val: bool,
    val: float | None,
) -> float:
    left = np.arange(_BINS) >= below[:, None]
    n = int((found.hashes[list(held_from)].sum(axis=0) * left).sum())
    n_classes = int(np.count_nonzero(found.counts[:_OTHER].sum(axis=0)))
    most = most_held(n_classes)
    if val is not None and val * n > most:
        raise InputError(
            f"--val {val:g} would hold out {val * n:,.0f} rows, and at most {most:,} are kept in "
            "memory here; give less, or leave --val out"
        )
    usual = 1.0 if has_val else _HELD_SHARE
    return min(usual if val is None else val, most / max(n, 1))


def _below(
    found: _Found, splits: tuple[int, ...], share: float, start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each class the bin up to which rows are nearest to a share, never all of them."""
    hashes = found.hashes[list(splits)].sum(axis=0) * (np.arange(_BINS) >= start[:, None])
    sums = np.concatenate([np.zeros((len(hashes), 1)), hashes.cumsum(axis=1)], axis=1)
    n = sums[:, -1:]
    away = np.where(sums <= np.maximum(n - 1, 0), np.abs(sums - share * n), np.inf)
    return np.asarray(np.maximum(away.argmin(axis=1), start), np.int64)


def _assign(
    job: JobRows, found: _Found, cut: _Cut, n_labels: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write each row's role over its bin."""
    roles, counts = found.bins, np.zeros((5, n_labels), np.int64)
    for batch in job.batches(["label", "split"]):
        place = slice(batch.start, batch.start + len(batch))
        labels, splits, bins = _labels(batch, n_labels, job), _splits(batch), roles[place]
        own = np.full(len(batch), Role.NONE, np.uint8)
        own[np.isin(splits, cut.learned)] = Role.TRAIN
        if cut.held_from != cut.learned:
            own[np.isin(splits, cut.held_from)] = Role.REST
        held = np.isin(splits, cut.held_from) & (bins < cut.held_below[labels])
        own[held] = Role.HELD
        own[np.isin(splits, cut.learned) & (bins < cut.test_below[labels])] = Role.TEST
        own[np.isin(splits, cut.test)] = Role.TEST
        only = (own == Role.REST) & (found.counts[list(cut.learned)].sum(axis=0)[labels] == 0)
        own[only] = Role.TRAIN
        own[labels < 0] = Role.NONE
        known = labels >= 0
        np.add.at(counts, (own[known], labels[known]), 1)
        roles[place] = own
    return roles, counts


def _finish(
    found: _Found,
    cut: _Cut,
    roles: NDArray[np.uint8],
    counts: NDArray[np.int64],
    names: tuple[str, ...],
    notes: tuple[str, ...],
) -> Roles:
    kept = np.flatnonzero(counts[Role.TRAIN])
    if len(kept) < 2:
        raise DataError(
            f"outside the test there are labels of {len(kept)} class, expected two or more; embed "
            "with other splits"
        )
    if not counts[Role.HELD].any():
        raise DataError(
            "no row can be held out to compare on: every class has a single one; fit on the images "
            "themselves"
        )
    if not counts[Role.TEST, kept].any():
        raise DataError("no class that is learned has a row in the test; embed with other splits")
    number_of = np.full(len(names), -1, np.int64)
    number_of[kept] = np.arange(len(kept))
    said = [*notes, *_said(found, counts, kept, names)]
    return Roles(
        roles,
        tuple(names[c] for c in kept),
        number_of,
        counts[:, kept],
        tuple(said),
        found.without_label,
    )


def _said(
    found: _Found, counts: NDArray[np.int64], kept: NDArray[np.int64], names: tuple[str, ...]
) -> Iterator[str]:
    """Say what is left out, and what methods are compared on."""
    if found.without_label:
        yield f"{found.without_label} rows without a label are left out"
    if n := int(counts[Role.NONE].sum()):
        yield f"{n} labelled rows of other splits are left out"
    unknown = [c for c in range(len(names)) if c not in set(kept.tolist())]
    if only := [c for c in unknown if counts[Role.TEST, c]]:
        shown = ", ".join(repr(names[c]) for c in only[:5]) + (", ..." if len(only) > 5 else "")
        yield (
            f"{len(only)} class{'es' if len(only) > 1 else ''} only in the test ({shown}): the "
            f"classifier cannot know {'them' if len(only) > 1 else 'it'}, and "
            f"{counts[Role.TEST, only].sum()} test rows are not scored"
        )
    if empty := [c for c in unknown if not counts[Role.TEST, c]]:
        yield f"{len(empty)} class name(s) without a labelled row are left out"
    n_held = int(counts[Role.HELD].sum())
    n_all = int(counts[[Role.TRAIN, Role.HELD, Role.REST]].sum())
    yield (
        f"methods are chosen on {n_held} held-out rows, the same for all; each is then fitted on "
        f"all {n_all}. Near-duplicates are not looked for"
    )
