"""What every method of a command gets alike, made from its embedded data set.

It adds the class texts, and patches where they are wanted, to features and a partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cliptune.cli.options import ComputeOptions
from cliptune.cli.session import embed_tokens, note_equal_classes, text_encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable
    from cliptune.task import Task

__all__ = ["Parts", "make_task"]


class Parts(Protocol):
    """Who learns from which rows: a partition, or what a sweep may see of one."""

    @property
    def train(self) -> NDArray[np.int64]: ...  # noqa: D102

    @property
    def val(self) -> NDArray[np.int64]: ...  # noqa: D102


def make_task(
    encoder: DualEncoder,
    store: FeatureStore,
    table: ImageTable,
    vectors: NDArray[np.float32],
    parts: Parts,
    *,
    compute: ComputeOptions,
    templates: Sequence[str],
    seed: int,
    tokens: bool = False,
    trunk: NDArray[np.float32] | None = None,
) -> Task:
    """Embed the class texts, and the patches if they are wanted, and put all together.

    Args:
        encoder: What made the vectors.
        store: The feature cache.
        table: N labelled images.
        vectors: float32 (N, D), their unit rows.
        parts: Rows to learn from and rows to select on.
        compute: How texts are embedded.
        templates: Of the class texts.
        seed: Of everything random.
        tokens: Whether a method needs the patches.
        trunk: float32 (N, D + E), with the features before the projection, if a method needs them.
    """
    from cliptune.prompts import ensemble_rows, find_equal_classes
    from cliptune.task import Task

    encode = text_encoder(encoder, store, compute)
    rows = ensemble_rows(encode, table.class_names, templates)
    note_equal_classes(find_equal_classes(table.class_names, rows))
    return Task(
        vectors=vectors,
        tokens=embed_tokens(encoder, table, store) if tokens else None,
        labels=table.labels,
        class_names=table.class_names,
        text_rows=rows,
        logit_scale=encoder.logit_scale,
        train=parts.train,
        val=parts.val,
        seed=seed,
        trunk=trunk,
        groups=table.groups,
    )
