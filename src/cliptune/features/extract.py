"""From images to unit vectors: decoding in threads ahead of the encoder.

It knows nothing about caches, labels or heads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder, Preprocess
from cliptune.errors import BadImageError, DataError, InputError
from cliptune.features.guard import RowGuard
from cliptune.features.reading import Reader, exact_reader
from cliptune.features.types import Batch
from cliptune.system.allocator import keep_freed_memory
from cliptune.system.processors import usable_cores

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = [
    "checked_workers",
    "extract",
    "load_first_pixels",
    "read_again",
    "read_ahead",
    "require_finite",
]

_BATCHES_AHEAD = 2
_IMAGES_PER_TASK = 8


def extract(
    encoder: DualEncoder,
    table: ImageTable,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    tokens: bool = False,
    trunk: bool = False,
    guard: RowGuard | None = None,
    reader: Reader | None = None,
) -> Iterator[Batch]:
    """Embed a table, batch by batch, in its order.

    Threads decode up to two batches ahead of the encoder (Pillow gives up the interpreter's
    lock while it decodes and resizes). Closing the generator ends them.

    Args:
        encoder: What embeds.
        table: N images.
        batch_size: Images that the encoder sees at once.
        workers: Threads that decode; by default one per core that this process may use.
        tokens: Also give one vector per patch.
        trunk: Also give the embedding with the features before the projection behind it.
        guard: Computes some rows again, and counts them; a new one by default.
        reader: Gives the pixels of a row; by default as the encoder's transform says.

    Yields:
        The embeddings of ``batch_size`` consecutive rows; the last batch may be smaller.

    Raises:
        BadImageError: An image cannot be read; the message names it.
        DataError: An embedding is not finite; the message names the image.
        EngineError: A row is another one when it is computed alone.
        InputError: The encoder does not give what was asked for besides.
    """
    rows, read = np.arange(len(table)), reader or exact_reader(encoder, table)
    ahead = read_ahead(
        read, rows, shape=encoder.preprocess.shape, batch_size=batch_size, workers=workers
    )
    checked_workers(batch_size, workers)
    guard = RowGuard() if guard is None else guard
    chosen = guard.choose(encoder, "images", len(rows), batch_size)
    encoders = {"pooled": encoder.encode_images}
    encoders |= {"tokens": encoder.encode_tokens} if tokens else {}
    encoders |= {"trunk": encoder.encode_trunk} if trunk else {}
    with closing(ahead):
        for part, pixels, input_seconds in ahead:
            start = perf_counter()
            found = {
                kind: require_finite(encode(pixels), part, table.ids)
                for kind, encode in encoders.items()
            }
            model_seconds = perf_counter() - start
            again, pixels, reading = read_again(read, part[chosen[part]], encoder.preprocess.shape)
            start = perf_counter()
            names = [table.ids[row] for row in again]
            for kind, vectors in found.items():
                guard.check(encoder, kind, pixels, vectors[chosen[part]], names)
            model_seconds += perf_counter() - start
            yield Batch(
                part, found["pooled"], found.get("tokens"), input_seconds + reading,
                model_seconds, found.get("trunk"),
            )  # fmt: skip


def read_again(
    read: Reader, rows: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], float]:
    """Read the images of a few rows anew.

    Returns:
        The rows, their pixels uint8 (n, *shape), which are shared with nobody, and the seconds
        that this took.
    """
    start = perf_counter()
    pixels = [read(int(row)) for row in rows]
    stacked = np.stack(pixels) if pixels else np.empty((0, *shape), np.uint8)
    return rows, stacked, perf_counter() - start


def load_first_pixels(
    table: ImageTable, preprocess: Preprocess, n_images: int
) -> NDArray[np.uint8]:
    """Decode the first readable images of a table, those of a test split last.

    Args:
        table: Of it, as few images are read as are needed.
        preprocess: From an image to an encoder's pixels.
        n_images: How many are wanted.

    Returns:
        uint8, shape (N, 3, H, W), N at most ``n_images``.
    """
    order = np.argsort(table.splits == "test", kind="stable")
    pixels: list[NDArray[np.uint8]] = []
    for row in order[: 2 * n_images].tolist():
        with suppress(BadImageError, ValueError, MemoryError):  # embedding tells of them
            pixels.append(preprocess(table.load_image(row, min_side=preprocess.min_side)))
        if len(pixels) == n_images:
            break
    return np.stack(pixels) if pixels else np.empty((0, *preprocess.shape), np.uint8)


def checked_workers(batch_size: int, workers: int | None) -> int:
    """Return the number of threads: by default one per core that this process may use.

    Raises:
        InputError: It or the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError(f"batch size {batch_size} came, at least 1 was expected")
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers came, at least 1 was expected")
    return usable_cores() if workers is None else workers


def require_finite(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], ids: Sequence[str]
) -> NDArray[np.float32]:
    """Return the embeddings of ``rows`` if every number is finite.

    Raises:
        DataError: One is not, or their count is not that of the rows.
    """
    if len(vectors) != len(rows):
        raise DataError(f"the encoder gave {len(vectors)} embeddings for {len(rows)} inputs")
    finite = np.isfinite(vectors).reshape(len(vectors), -1).all(axis=1)
    if not finite.all():
        name = ids[int(rows[int(np.argmin(finite))])]
        raise DataError(
            f"the encoder's output for {name!r} is not finite (expected numbers); look at it, or "
            "compute with --precision fp32"
        )
    return vectors


def read_ahead(
    read: Reader,
    rows: NDArray[np.int64],
    *,
    shape: tuple[int, ...],
    batch_size: int,
    workers: int | None,
) -> Generator[tuple[NDArray[np.int64], NDArray[np.uint8], float]]:
    """Decode and resize in threads, at most two batches ahead of the consumer.

    Args:
        read: Gives the pixels of a row; called from several threads.
        rows: int64, shape (M,): which rows, in which order.
        shape: Of the pixels, (3, H, W).
        batch_size: B.
        workers: Threads; by default one per usable core.

    Yields:
        Rows (B,), their pixels uint8 (B, 3, H, W), and the seconds waited for them.
    """
    keep_freed_memory()
    count = checked_workers(batch_size, workers)
    pending: deque[tuple[NDArray[np.int64], NDArray[np.uint8], list[Future[None]]]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="cliptune-decode")
    try:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            pixels = np.empty((len(part), *shape), np.uint8)
            tasks = [
                pool.submit(_fill, pixels, i, part, read)
                for i in range(0, len(part), _IMAGES_PER_TASK)
            ]
            pending.append((part, pixels, tasks))
            if len(pending) > _BATCHES_AHEAD:
                yield _finished(*pending.popleft())
        while pending:
            yield _finished(*pending.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fill(pixels: NDArray[np.uint8], start: int, rows: NDArray[np.int64], read: Reader) -> None:
    """Write the pixels of a few images into their batch."""
    for i in range(start, min(start + _IMAGES_PER_TASK, len(rows))):
        pixels[i] = read(int(rows[i]))


def _finished(
    rows: NDArray[np.int64], pixels: NDArray[np.uint8], tasks: list[Future[None]]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], float]:
    start = perf_counter()
    for task in tasks:
        task.result()
    return rows, pixels, perf_counter() - start
