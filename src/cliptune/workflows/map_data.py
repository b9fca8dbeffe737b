"""The images that a map is made of: whether there is a map of them, and how many fit.

It knows tables and memory, and nothing about encoders or figures.
"""

from __future__ import annotations

import numpy as np

from cliptune.errors import DataError, InputError
from cliptune.images import (
    ImageTable,
    list_captions,
    refuse_label_sets,
    require_classes,
    sample_rows,
)
from cliptune.system.usage import available_memory

__all__ = ["check_mappable", "choose_images", "describes_images"]

_MIN_IMAGES = 3
_MEMORY_SHARE = 0.5
# Measured: 22 bytes per value of one view's images while its numbers are computed, on top of the
# vectors of all views.
_WORKING_BYTES = 24
_VECTOR_BYTES = 4


def describes_images(table: ImageTable) -> bool:
    """Tell whether the texts are captions; where a table has labels too, these come first."""
    return table.captions is not None and not (table.labels >= 0).any()


def check_mappable(table: ImageTable) -> None:
    """Refuse a data set of which there is no map, before anything is embedded.

    Raises:
        DataError: It has fewer than three images, one class, or neither labels nor captions.
    """
    if len(table) < _MIN_IMAGES:
        raise DataError(
            f"{table.root!r} has {len(table)} images; a map needs at least {_MIN_IMAGES}: give "
            "more, or another --split"
        )
    if describes_images(table):
        list_captions(table)
        return
    refuse_label_sets(table)
    require_classes(table)
    present = np.unique(table.labels[table.labels >= 0])
    if len(present) < 2:
        names = ", ".join(repr(table.class_names[c]) for c in present) or "none"
        raise DataError(
            f"the images of {table.root!r} are of {len(present)} class ({names}); a map needs at "
            "least 2"
        )


def choose_images(
    table: ImageTable, *, dim: int, n_views: int, sample: int | None, seed: int
) -> tuple[ImageTable, tuple[str, ...]]:
    """Draw as many images as were asked for, or as memory allows, and say so.

    Args:
        table: All images.
        dim: Length of the longest embedding.
        n_views: How many encoders or runs will embed them.
        sample: How many are wanted; all without it.
        seed: Of the draw.

    Returns:
        The table of those drawn, and remarks that belong beside the figure.

    Raises:
        InputError: ``sample`` is below three.
    """
    if sample is not None and sample < _MIN_IMAGES:
        raise InputError(
            f"--sample {sample} came; a map needs at least {_MIN_IMAGES} images: ask for more"
        )
    wanted = len(table) if sample is None else min(sample, len(table))
    n = min(wanted, _affordable(table, dim, n_views))
    if n == len(table):
        return table, ()
    how = "at random" if describes_images(table) else "class by class"
    remark = f"{n} of {len(table)} images, drawn {how} with seed {seed}"
    if n < wanted:
        remark += f": memory does not allow {wanted}"
    return table.select(sample_rows(table.labels, n, seed=seed)), (f"{remark}.",)


def _affordable(table: ImageTable, dim: int, n_views: int) -> int:
    """How many images half of the free memory holds, with their captions."""
    free = available_memory()
    if free is None:
        return len(table)
    n_texts = len(list_captions(table)[1]) if describes_images(table) else 0
    per_image = (_WORKING_BYTES + _VECTOR_BYTES * n_views) * dim * (1 + n_texts / len(table))
    return max(_MIN_IMAGES, int(_MEMORY_SHARE * free / per_image))
