"""From a data set and its encoders or runs to what a map is made of.

It knows encoders, runs and tables, and nothing about figures or how progress is shown: whoever
calls it embeds images and texts.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.atlas import MapInputs, MapView
from cliptune.classifier import Classifier
from cliptune.errors import DataError, InputError
from cliptune.heads.dual_linear import DualLinearHead
from cliptune.images import ImageTable, list_captions, require_classes, sample_rows
from cliptune.prompts import ensemble_rows
from cliptune.runs import RunDir
from cliptune.usage import available_memory

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = [
    "Viewer",
    "check_mappable",
    "choose_rows",
    "describe_run",
    "make_inputs",
    "make_view",
    "open_run",
]

EncodeTexts = Callable[[list[str]], NDArray[np.float32]]

_MIN_IMAGES = 3
_MEMORY_SHARE = 0.5
# Measured: 22 bytes per value of one view's images while its numbers are computed, on top of the
# vectors of all views.
_WORKING_BYTES = 24
_VECTOR_BYTES = 4


@dataclass(frozen=True)
class Viewer:
    """Who looks at the images: an encoder, with or without the classifier of a run.

    Attributes:
        name: What the user calls it.
        encoder: What embeds.
        templates: The texts that class names are put into.
        classifier: Of the run; without it the nearest class text decides.
        run: The run.
    """

    name: str
    encoder: DualEncoder
    templates: tuple[str, ...]
    classifier: Classifier | None = None
    run: RunDir | None = None

    @property
    def needs_tokens(self) -> bool:
        """Whether its classifier looks at patches."""
        return self.classifier is not None and self.classifier.needs == "tokens"


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
    if _has_captions(table):
        list_captions(table)
        return
    require_classes(table)
    present = np.unique(table.labels[table.labels >= 0])
    if len(present) < 2:
        names = ", ".join(repr(table.class_names[c]) for c in present) or "none"
        raise DataError(
            f"the images of {table.root!r} are of {len(present)} class ({names}); a map needs at "
            "least 2"
        )


def _has_captions(table: ImageTable) -> bool:
    """Labels come first where a table has both."""
    return table.captions is not None and not (table.labels >= 0).any()


def choose_rows(
    table: ImageTable, viewers: Sequence[Viewer], *, sample: int | None, seed: int
) -> tuple[ImageTable, tuple[str, ...]]:
    """Draw as many images as were asked for, or as memory allows, and say so.

    Args:
        table: All images.
        viewers: Who will look at them.
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
    n = min(wanted, _affordable(table, viewers))
    if n == len(table):
        return table, ()
    how = "at random" if _has_captions(table) else "class by class"
    remark = f"{n} of {len(table)} images, drawn {how} with seed {seed}"
    if n < wanted:
        remark += f": memory does not allow {wanted}"
    return table.select(sample_rows(table.labels, n, seed=seed)), (f"{remark}.",)


def _affordable(table: ImageTable, viewers: Sequence[Viewer]) -> int:
    """How many images half of the free memory holds, with their captions."""
    free = available_memory()
    if free is None:
        return len(table)
    n_texts = len(list_captions(table)[1]) if _has_captions(table) else 0
    per_value = _WORKING_BYTES + _VECTOR_BYTES * len(viewers)
    widest = max(viewer.encoder.dim for viewer in viewers)
    per_image = per_value * widest * (1 + n_texts / len(table))
    return max(_MIN_IMAGES, int(_MEMORY_SHARE * free / per_image))


def open_run(path: str | Path) -> tuple[RunDir, Classifier]:
    """Open a finished run and read its classifier.

    Raises:
        RunError: It is missing, unfinished, altered, or holds no classifier.
        CheckpointError: The saved head is broken.
    """
    run = RunDir.open(path)
    return run, Classifier.load(run)


def make_view(
    viewer: Viewer,
    table: ImageTable,
    vectors: NDArray[np.float32],
    encode_texts: EncodeTexts,
    *,
    tokens: NDArray[np.floating[Any]] | None = None,  # Any: tokens may be of half precision
) -> MapView:
    """Put images and texts into one space as a viewer sees them.

    A head that adds layers to the model on both sides changes the space: its view shows the
    rows after these layers.

    Args:
        viewer: Who looks.
        table: N images.
        vectors: float32 (N, D), their unit rows from the viewer's encoder.
        encode_texts: Maps T texts to float32 (T, D), unit rows.
        tokens: (N, T, D), where the viewer needs them.

    Raises:
        InputError: The run's classes are not those of the data.
    """
    if _has_captions(table):
        texts, _ = list_captions(table)
        text_vectors = encode_texts(list(dict.fromkeys(texts)))
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        text_vectors = text_vectors[[row_of[text] for text in texts]]
    else:
        text_vectors = ensemble_rows(encode_texts, table.class_names, viewer.templates)
    predictions = None
    if viewer.classifier is not None and not _has_captions(table):
        predictions = _predict(viewer, table, vectors, tokens)
    head = None if viewer.classifier is None else viewer.classifier.head
    if isinstance(head, DualLinearHead):
        vectors = head.transform(vectors, "image")
        text_vectors = head.transform(text_vectors, "text")
    digest = "" if viewer.run is None else str(viewer.run.manifest.get("data_digest", ""))
    return MapView(viewer.name, vectors, text_vectors, predictions, digest)
