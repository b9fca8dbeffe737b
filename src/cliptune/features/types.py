"""What extraction gives: batches while it runs, features at its end.

It knows nothing about how they are computed or kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batch", "Features", "Progress"]


@dataclass(frozen=True)
class Batch:
    """The embeddings of some consecutive rows of a table.

    Attributes:
        rows: int64, shape (B,): which rows of the table.
        vectors: float32, shape (B, D), rows of norm 1.
        tokens: float32, shape (B, T, D), or None where they were not asked for.
        input_seconds: How long the encoder stood idle for these images' pixels.
        model_seconds: How long the encoder worked on them.
        trunk: float32, shape (B, D + E), or None where they were not asked for.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    tokens: NDArray[np.float32] | None
    input_seconds: float
    model_seconds: float
    trunk: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Features:
    """The embeddings of a whole table.

    The arrays may be private maps of files: writing to them changes no file.

    Attributes:
        vectors: float32, shape (N, D), rows of norm 1.
        row_ids: The N ids of the images, in the table's order.
        key: Hex digest of all that made them: weights, preprocessing, precision, engine and
            the content of each file, in order.
        tokens: float32, shape (N, T, D), one vector per patch or cell, or None where they
            were not asked for.
        trunk: float32, shape (N, D + E): the embedding, then the image tower's features before
            the projection, each part of norm 1; or None where they were not asked for.
        contents: Digest of each image's bytes, shape (N,); equal where two files are equal.
    """

    vectors: NDArray[np.float32]
    row_ids: tuple[str, ...]
    key: str
    tokens: NDArray[np.float32] | None = None
    trunk: NDArray[np.float32] | None = None
    contents: NDArray[np.bytes_] | None = None

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Progress:
    """How far an extraction has come.

    Attributes:
        done: Images of the table that have features now, those of earlier runs included.
        total: Images of the table.
        embedded: Distinct images that this call has embedded.
        input_seconds: How long the encoder has stood idle for pixels.
        model_seconds: How long the encoder has worked.
    """

    done: int
    total: int
    embedded: int
    input_seconds: float
    model_seconds: float
