"""From images to unit vectors, batch by batch.

It knows nothing about caches, labels or heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder, Preprocess
from cliptune.errors import BadImageError, DataError
from cliptune.features.ahead import checked_workers, read_ahead
from cliptune.features.guard import RowGuard
from cliptune.features.reading import Reader, exact_reader
from cliptune.features.types import Batch

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = [
    "extract",
    "load_first_pixels",
    "read_again",
    "require_finite",
]


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

    Images are decoded up to two batches ahead of the encoder (see ``read_ahead``). Closing the
    generator ends that.

    Args:
        encoder: What embeds.
        table: N images.
        batch_size: Images that the encoder sees at once.
        workers: Threads or processes that decode; by default one per core that this process may
            use.
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
        read, rows, shape=encoder.preprocess.shape, batch_size=batch_size, workers=workers,
        device=encoder.device,
    )  # fmt: skip
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
