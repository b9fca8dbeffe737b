"""Which images form each step, and their pixels, loaded while the model computes.

It knows nothing about models or losses. Nothing here keeps a state: the rows of a batch and
the view of an image follow from seed, epoch and row, so that a resumed run sees the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.errors import InputError

__all__ = ["Images", "epoch_batches", "iterate_pixels", "resolve_batch_size", "shard"]

_DEFAULT_BATCH = 64


class Images(Protocol):
    """N images with labels; ``ImageTable`` is one."""

    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102  (N,), -1 = unlabelled
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def captions(self) -> tuple[tuple[str, ...], ...] | None: ...  # noqa: D102
    def __len__(self) -> int: ...
    def load_image(self, row: int) -> Image.Image:
        """Decode one image."""
        ...


def resolve_batch_size(asked: int | None, n_images: int, *, contrastive: bool) -> int:
    """Return the images a step.

    Raises:
        InputError: There are fewer images, or a contrastive loss would see no negatives.
    """
    size = min(_DEFAULT_BATCH, n_images) if asked is None else asked
    if size > n_images:
        raise InputError(
            f"a batch of {size} is larger than the {n_images} training images; "
            f"use --batch-size {n_images} or less"
        )
    if contrastive and size < 2:
        raise InputError(
            f"a batch of {size} image leaves a contrastive loss without negatives; "
            "use --batch-size 2 or more, or --loss cross-entropy"
        )
    return size


def epoch_batches(
    labels: NDArray[np.int64], *, batch_size: int, balance: bool, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Deal the rows of an epoch into batches of nearly equal size, none above ``batch_size``.

    A short last batch would weigh its images more and see fewer negatives; spreading the rest
    over all batches keeps every image and avoids both.

    Args:
        labels: (N,), values from 0.
        batch_size: Most rows a batch.
        balance: Draw the classes equally often (rare ones repeat), as evenly within each
            batch as its size allows; the epoch still has N rows.
        seed: Of the run.
        epoch: Epochs done.

    Returns:
        Row numbers of each batch.
    """
    rng = np.random.default_rng([seed, epoch])
    order = _balanced_order(labels, rng) if balance else rng.permutation(len(labels))
    n_batches = -(-len(labels) // batch_size)
    return [batch.astype(np.int64) for batch in np.array_split(order, n_batches)]


def _balanced_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Visit all classes in random order again and again; each deals its rows in random order."""
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    n_rounds = -(-len(labels) // len(members))
    decks = []
    for rows in members:
        n_decks = -(-n_rounds // len(rows))
        decks.append(np.concatenate([rng.permutation(rows) for _ in range(n_decks)]))
    rounds = [[decks[c][turn] for c in rng.permutation(len(members))] for turn in range(n_rounds)]
    return np.asarray(rounds).reshape(-1)[: len(labels)]


def shard(n_items: int, rank: int, n_processes: int) -> tuple[slice, list[int]]:
    """Return a process's part of ``n_items`` in order, and the sizes of all parts."""
    parts = np.array_split(np.arange(n_items), n_processes)
    sizes = [len(part) for part in parts]
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank]), sizes


def iterate_pixels(
    batches: Iterable[Sequence[int] | NDArray[np.int64]],
    load: Callable[[int], NDArray[np.uint8]],
    *,
    n_threads: int,
    n_ahead: int = 2,
) -> Iterator[NDArray[np.uint8]]:
    """Load batches in the background, a few ahead of the one in use.

    Threads, not processes: decoding and resizing run outside Python's lock, and no image is
    copied between processes.

    Args:
        batches: Row numbers of each batch.
        load: From a row to uint8 (3, H, W).
        n_threads: Images loaded at once.
        n_ahead: Batches in flight.

    Yields:
        uint8, shape (B, 3, H, W); an error in ``load`` comes out here.
    """
    waiting: deque[list[Future[NDArray[np.uint8]]]] = deque()
    upcoming = iter(batches)
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="images")
    try:
        while True:
            while len(waiting) < n_ahead and (rows := next(upcoming, None)) is not None:
                waiting.append([pool.submit(load, int(row)) for row in rows])
            if not waiting:
                return
            yield np.stack([future.result() for future in waiting.popleft()])
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
