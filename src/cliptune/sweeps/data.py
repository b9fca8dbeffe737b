"""The images that a sweep may look at: training and validation, never the locked test.

It knows nothing about models; the same rows stay locked as in ``fit``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.features import DataIdentity, FeatureStore
from cliptune.images import ImageTable
from cliptune.splits.partition import assigned_rows, cut_validation, partition_table

__all__ = ["Seen", "cut_seen", "rows_to_embed", "stratified_order", "sweep_identity"]


@dataclass(frozen=True)
class Seen:
    """Rows of a table by what a sweep uses them for.

    Attributes:
        train: int64 rows to learn from.
        val: int64 rows to select on.
        notes: What was done, one sentence each.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    notes: tuple[str, ...]


def rows_to_embed(table: ImageTable, *, n_images: int | None, seed: int) -> NDArray[np.int64]:
    """Return the rows whose features a sweep needs; locked ones only where a test is to be cut.

    Args:
        table: N images, all labelled.
        n_images: Training images to draw, stratified; None takes all.
        seed: Of the draw.

    Raises:
        InputError: So many there are not.
    """
    assigned = assigned_rows(table)
    if assigned is None:  # the cut of a test looks at all images for near-duplicates
        everything = np.arange(len(table))
        _draw(table, everything, n_images, seed)  # refuses what no cut could give
        return everything
    train = _draw(table, assigned.train, n_images, seed)
    parts = [train] if assigned.val is None else [train, assigned.val]
    return np.sort(np.concatenate(parts))


def cut_seen(
    table: ImageTable,
    vectors: NDArray[np.float32],
    *,
    whole: ImageTable,
    n_images: int | None,
    val_fraction: float,
    seed: int,
) -> Seen:
    """Decide what each image is for.

    Args:
        table: The images of ``rows_to_embed``.
        vectors: float32 (N, D), their embeddings.
        whole: The data set that they come from.
        n_images: As for ``rows_to_embed``.
        val_fraction: Share of the training images cut for validation where there is none.
        seed: Of the cuts.
    """
    assigned = assigned_rows(whole)
    if assigned is None:
        partition = partition_table(table, vectors, val_fraction=val_fraction, seed=seed)
        train, val, notes = partition.train, partition.val, partition.notes
        if n_images is not None:
            both = np.concatenate([train, val])
            keep = set(_draw(table, np.sort(both), n_images, seed).tolist())
            train, val = (np.array([r for r in part if r in keep]) for part in (train, val))
        return Seen(train, val, (*notes, "the test stays locked: a sweep does not open it"))
    locked = f"{len(assigned.test)} images stay locked as the test: a sweep does not look at them"
    if assigned.val is not None:
        rows = np.arange(len(table))
        return Seen(rows[table.splits == "train"], rows[table.splits == "val"], (locked,))
    pool = np.arange(len(table))
    train, val, note = cut_validation(table, vectors, pool, val_fraction=val_fraction, seed=seed)
    return Seen(train, val, (locked, note))


def sweep_identity(table: ImageTable, seen: Seen, store: FeatureStore) -> DataIdentity:
    """Say which images with which labels a sweep uses, and for what.

    The engine that embeds is left out: it may change from one start to the next, and keeps the
    answers.

    Args:
        table: The images.
        seen: What they are used for.
        store: Its memo knows the digests of files that were read before.
    """
    roles = np.full(len(table), "", dtype="<U5")
    roles[seen.train], roles[seen.val] = "train", "val"
    return store.identify(table, roles)


def stratified_order(labels: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Order rows so that every beginning holds the classes in about their shares.

    Args:
        labels: int (N,).
        seed: Of the order within each class.

    Returns:
        int64 (N,), row numbers.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place, kind="stable")


def _draw(
    table: ImageTable, rows: NDArray[np.int64], n_images: int | None, seed: int
) -> NDArray[np.int64]:
    if n_images is None:
        return rows
    n_classes = len(table.class_names)
    if not 2 * n_classes <= n_images <= len(rows):
        raise InputError(
            f"--train-images {n_images} came for {len(rows)} training images of {n_classes} "
            f"classes; give {2 * n_classes} to {len(rows)}"
        )
    return np.sort(rows[stratified_order(table.labels[rows], seed=seed)[:n_images]])
