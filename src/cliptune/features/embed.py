"""The images of a table that have no features yet: embed them and write each batch.

It knows nothing about locks, or about what else is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder
from cliptune.errors import DataError
from cliptune.features.ahead import read_ahead
from cliptune.features.extract import read_again, require_finite
from cliptune.features.guard import RowGuard
from cliptune.features.keys import StoreKey, content_digest, reduces_input
from cliptune.features.reading import RowReader
from cliptune.features.types import Progress
from cliptune.images.decode import decode_image

if TYPE_CHECKING:
    from PIL import Image

    from cliptune.images import ImageTable
    from cliptune.images.sources import Source

__all__ = ["Job", "Vectors", "embed_missing", "first_of_each"]


class Vectors(Protocol):
    """Where the vectors of one kind go; ``ShardFolder`` is one."""

    def refresh(self) -> None:
        """Take up what is there now."""

    def lacks(self, contents: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Tell for each digest (N,) whether a vector is wanted."""

    def append(self, contents: NDArray[np.bytes_], vectors: NDArray[np.float32]) -> None:
        """Take vectors (n, ...)."""


@dataclass(frozen=True)
class Job:
    """What is to be embedded, and where it goes.

    Attributes:
        encoder: What embeds.
        table: N images.
        contents: Digest of each image's bytes, shape (N,).
        folders: Where the vectors of each kind (``pooled``, ``tokens``, ``trunk``)
            are kept.
        guard: Computes some rows again, and counts them.
        progress: Called at the start and after each batch, if it is given.
    """

    encoder: DualEncoder
    table: ImageTable
    contents: NDArray[np.bytes_]
    folders: Mapping[str, Vectors]
    guard: RowGuard
    progress: Callable[[Progress], None] | None

    def refresh(self) -> NDArray[np.bool_]:
        """Look at the disk and tell which rows (N,) lack a vector of any kind."""
        for folder in self.folders.values():
            folder.refresh()
        return self.lacking()

    def lacking(self) -> NDArray[np.bool_]:
        """Tell which rows (N,) lacked a vector of any kind at the last look."""
        lacking = np.zeros(len(self.contents), bool)
        for folder in self.folders.values():
            lacking |= folder.lacks(self.contents)
        return lacking

    def report(self, done: int, embedded: int, seconds: tuple[float, float]) -> None:
        """Tell ``progress`` how far it is; ``seconds`` are those of input and model."""
        if self.progress is not None:
            self.progress(Progress(done, len(self.contents), embedded, *seconds))


def embed_missing(job: Job, *, batch_size: int, workers: int) -> None:
    """Embed what lacks a vector, batch by batch, in the table's order.

    Args:
        job: What and where; its folders were refreshed.
        batch_size: Images that the encoder sees, and that are written, at once.
        workers: Threads that decode.

    Raises:
        BadImageError: An image cannot be read.
        DataError: An embedding is not finite, or a file changed meanwhile.
        EngineError: A row is another one when it is computed alone.
        UnavailableError: The disk is full.
    """
    lacking = job.lacking()
    rows = first_of_each(job.contents, lacking)
    _, group, copies = np.unique(job.contents, return_inverse=True, return_counts=True)
    done, embedded, waited, worked = len(lacking) - int(lacking.sum()), 0, 0.0, 0.0
    job.report(done, embedded, (waited, worked))
    ids, preprocess = job.table.ids, job.encoder.preprocess
    min_side = preprocess.min_side if reduces_input(job.encoder) else None
    load = _CheckedImages(job.table.sources, job.contents, min_side)
    read = RowReader(load, preprocess, ids)
    preprocess.expect(len(rows))
    chosen = rows[job.guard.choose(job.encoder, "images", len(rows), batch_size)]
    ahead = read_ahead(
        read, rows, shape=preprocess.shape, batch_size=batch_size, workers=workers,
        device=job.encoder.device,
    )  # fmt: skip
    with closing(ahead):
        for part, pixels, seconds in ahead:
            start = perf_counter()
            computed = _embed_batch(job, part, pixels, ids)
            worked += perf_counter() - start
            again = read_again(read, part[np.isin(part, chosen)], preprocess.shape)
            waited += seconds + again[2]
            start = perf_counter()
            _check_batch(job, computed, *again[:2])
            for kind, (some, vectors) in computed.items():
                job.folders[kind].append(job.contents[some], vectors)
            worked += perf_counter() - start
            embedded += len(part)
            done += int(copies[group[part]].sum())
            job.report(done, embedded, (waited, worked))


def first_of_each(contents: NDArray[np.bytes_], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the wanted rows, of equal ones the first only, in the table's order."""
    _, first = np.unique(contents, return_index=True)
    first.sort()
    return first[wanted[first]]


_Computed = dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]


def _embed_batch(
    job: Job, rows: NDArray[np.int64], pixels: NDArray[np.uint8], ids: tuple[str, ...]
) -> _Computed:
    """Compute the missing vectors of some rows; where only tokens are missing, only tokens.

    Returns:
        By kind, rows and their vectors.
    """
    encoder = job.encoder
    encoders = {
        "pooled": encoder.encode_images,
        "tokens": encoder.encode_tokens,
        "trunk": encoder.encode_trunk,
    }
    lacking = {kind: folder.lacks(job.contents[rows]) for kind, folder in job.folders.items()}
    both = _pooled_within_trunk(encoder, lacking)
    computed: _Computed = {}
    for kind, wanted in lacking.items():
        if not wanted.any() or (both and kind == "pooled"):
            continue
        some, seen = rows[wanted], pixels if wanted.all() else pixels[wanted]
        vectors = require_finite(encoders[kind](seen), some, ids)
        if both and kind == "trunk":
            computed["pooled"] = some, np.ascontiguousarray(vectors[:, : encoder.dim])
        computed[kind] = some, vectors
    return computed


def _check_batch(
    job: Job, computed: _Computed, again: NDArray[np.int64], pixels: NDArray[np.uint8]
) -> None:
    """Compare the vectors of some rows with what these give again and alone."""
    for kind, (some, vectors) in computed.items():
        known = np.isin(again, some)
        names = [job.table.ids[row] for row in again[known]]
        given = vectors[np.isin(some, again)]
        job.guard.check(job.encoder, kind, pixels[known], given, names)


def _pooled_within_trunk(encoder: DualEncoder, lacking: Mapping[str, NDArray[np.bool_]]) -> bool:
    """Say whether one pass gives both kinds: the same images lack them, and one maker makes them.

    A batch of which a killed run wrote the embeddings only is not such a one: its trunk rows are
    then computed alone, in a batch of the same size, and have the same bits.
    """
    return (
        "trunk" in lacking
        and np.array_equal(lacking["pooled"], lacking["trunk"])
        and StoreKey.of(encoder, "pooled").has_same_maker(StoreKey.of(encoder, "trunk"))
    )


@dataclass(frozen=True)
class _CheckedImages:
    """Reads and decodes a row, and makes sure that its bytes are those digested."""

    sources: Sequence[Source]
    contents: NDArray[np.bytes_]
    min_side: int | None

    def __call__(self, row: int) -> Image.Image:
        source = self.sources[row]
        data = source.read()
        if content_digest(data) != self.contents[row : row + 1].tobytes():
            raise DataError(
                f"image {source.location!r} changed while it was being embedded (expected it to "
                "stay as it is); repeat the command"
            )
        return decode_image(data, name=source.location, min_side=self.min_side)
