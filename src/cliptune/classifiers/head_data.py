"""What every method of a run gets alike: features, labels, texts and the partition.

It knows which rows a head takes, and nothing about fitting or scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads import Head

__all__ = ["HeadData", "head_input", "join_tokens"]


@dataclass(frozen=True)
class HeadData:
    """What every method of a run gets alike.

    Attributes:
        vectors: float32 (N, D), unit rows of all images.
        tokens: (N, T, D) of all images, or None where no method needs them.
        labels: int (N,).
        class_names: C names.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
        train: int64 rows to learn from.
        val: int64 rows to select on.
        seed: Of everything random.
        groups: str (N,), what each image belongs with, empty for nothing; or None.
        soft_labels: float32 (N, C), what each image counts for each class, where labels are not
            certain; else None.
        trunk: float32 (N, D + E) of all images, the vectors with the features before the
            projection behind them, or None where no method needs them.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.floating[Any]] | None
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    text_rows: NDArray[np.float32]
    logit_scale: float
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    seed: int = 0
    trunk: NDArray[np.float32] | None = None
    groups: NDArray[np.str_] | None = None
    soft_labels: NDArray[np.float32] | None = None


def head_input(
    task: HeadData, head: Head, rows: NDArray[np.int64]
) -> NDArray[np.floating[Any]]:  # Any: tokens may be of half precision
    """Return what a head takes for some rows: pooled vectors, with or without more behind them."""
    if head.needs == "pooled":
        return task.vectors[rows]
    if head.needs == "trunk":
        if task.trunk is None:
            raise InputError(f"method {head.name!r} needs trunk features, which were not extracted")
        return task.trunk[rows]
    if task.tokens is None:
        raise InputError(f"method {head.name!r} needs token features, which were not extracted")
    return join_tokens(task.vectors[rows], task.tokens[rows])


def join_tokens(
    vectors: NDArray[np.float32], tokens: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:  # Any: tokens may be of half precision
    """Put pooled vectors (N, D) before tokens (N, T, D): what heads over tokens take."""
    return np.concatenate([vectors[:, None, :].astype(tokens.dtype), tokens], axis=1)
