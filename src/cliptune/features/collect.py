"""The vectors of a few images in memory, computed as the store computes them.

It knows no place on a disk: whoever asks writes them where they go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.features.embed import Job, embed_missing
from cliptune.features.guard import RowGuard

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable

__all__ = ["collect_vectors"]

_BATCH = 64


class _Collected:
    """Vectors of one kind: those that were wanted, in the order in which they came."""

    def __init__(self, wanted: NDArray[np.bytes_]) -> None:
        self._wanted = wanted
        self.contents: list[NDArray[np.bytes_]] = []
        self.vectors: list[NDArray[np.float32]] = []

    def refresh(self) -> None:
        """Do nothing: nobody else adds to it."""

    def lacks(self, contents: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Tell for each digest (N,) whether its vector was wanted."""
        return np.isin(contents, self._wanted)

    def append(self, contents: NDArray[np.bytes_], vectors: NDArray[np.float32]) -> None:
        """Keep vectors (n, ...)."""
        self.contents.append(contents)
        self.vectors.append(vectors)


def collect_vectors(
    encoder: DualEncoder,
    table: ImageTable,
    contents: NDArray[np.bytes_],
    lacking: Mapping[str, NDArray[np.bool_]],
    *,
    guard: RowGuard,
    workers: int,
) -> dict[str, tuple[NDArray[np.bytes_], NDArray[np.float32]]]:
    """Embed images in the batches, and with the checks, in which the store embeds them.

    Args:
        encoder: What embeds.
        table: N images.
        contents: Digest of each image's bytes, shape (N,); bytes that are others are refused.
        lacking: By kind (``pooled``, ``tokens``, ``trunk``), which rows (N,) are wanted.
        guard: Computes some rows again, and counts them.
        workers: Threads that decode.

    Returns:
        By kind, digests (n,) and vectors float32 (n, ...); kinds of which none is wanted are
        left out.

    Raises:
        BadImageError: An image cannot be read; the message names it.
        DataError: An embedding is not finite, or a file changed meanwhile.
        EngineError: A row is another one when it is computed alone.
        InputError: The encoder does not give a kind.
    """
    found = {kind: _Collected(contents[wanted]) for kind, wanted in lacking.items()}
    job = Job(encoder, table, contents, found, guard, None)
    embed_missing(job, batch_size=_BATCH, workers=workers)
    return {
        kind: (np.concatenate(one.contents), np.concatenate(one.vectors))
        for kind, one in found.items()
        if one.contents
    }
