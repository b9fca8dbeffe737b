"""What a map is made of, and every reason to refuse it.

It knows nothing about encoders: it sees the vectors they gave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.errors import DataError, InputError
from cliptune.images import number_texts
from cliptune.modality_gap.projection import Fit, Method
from cliptune.modality_gap.relation import Relation, relate_captions, relate_groups

__all__ = ["MapInputs", "MapOptions", "MapView", "check_inputs"]

_MIN_IMAGES = 3


@dataclass(frozen=True)
class MapView:
    """What one encoder or run makes of the images and texts.

    Attributes:
        name: What the user calls it; two views need two names.
        image_vectors: float32 (N, D), rows of norm 1.
        text_vectors: float32 (M, D), rows of norm 1; None where the run has no text tower.
        predictions: int (N,), the classes its own classifier predicts, -1 for none; without
            it the class of the nearest text counts.
        data_digest: Digest of the images it was run on; empty where it is not known.
    """

    name: str
    image_vectors: NDArray[np.float32]
    text_vectors: NDArray[np.float32] | None
    predictions: NDArray[np.int64] | None = None
    data_digest: str = ""


@dataclass(frozen=True)
class MapInputs:
    """N images and M texts, seen by one or more encoders.

    Attributes:
        data: What the user calls the data set.
        image_ids: N names.
        views: The first is the "before".
        texts: M texts as a reader should see them: class names, or captions.
        text_groups: int (M,), the class of each text, or the row of the image it describes.
        labels: int (N,), the class of each image, -1 for none; None for captioned images.
        class_names: C names; empty for captioned images.
        load_image: Gives the picture of a row; without it there are no thumbnails.
        remarks: What a reader should know about how the images were chosen.
        image_items: int64 (N,), equal where two images show the same picture; without it all
            count as different.
    """

    data: str
    image_ids: tuple[str, ...]
    views: tuple[MapView, ...]
    texts: tuple[str, ...]
    text_groups: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    load_image: Callable[[int], Image.Image] | None = None
    remarks: tuple[str, ...] = ()
    image_items: NDArray[np.int64] | None = None

    @cached_property
    def relation(self) -> Relation:
        """Which images and texts are equal, and which belong together."""
        if self.labels is not None:
            return relate_groups(self.image_groups, self.text_groups, image_items=self.image_items)
        return relate_captions(
            self.text_groups,
            len(self.image_ids),
            image_items=self.image_items,
            text_items=number_texts(self.texts),
        )

    @property
    def image_groups(self) -> NDArray[np.int64]:
        """The class of each image, or its own row where images have captions."""
        if self.labels is None:
            return np.arange(len(self.image_ids))
        return self.labels.astype(np.int64)


@dataclass(frozen=True)
class MapOptions:
    """How a map is made.

    Attributes:
        method: ``pca``, ``umap`` or ``tsne``.
        fit: Fit the projection on the ``first`` view or on ``all``.
        shift: Also move the embeddings along the gap and score each step.
        force: Compare views that saw different data.
        seed: Seed of everything random.
    """

    method: Method = "pca"
    fit: Fit = "first"
    shift: bool = False
    force: bool = False
    seed: int = 0


def check_inputs(inputs: MapInputs, *, force: bool = False) -> None:
    """Refuse what gives no map, or one that misleads.

    Args:
        inputs: As the caller has them.
        force: Compare views of different data all the same.

    Raises:
        DataError: There are too few images or classes, or the views saw different data.
        InputError: Names, shapes or values are wrong.
    """
    if len(inputs.image_ids) < _MIN_IMAGES:
        raise DataError(
            f"{len(inputs.image_ids)} images came; a map needs at least {_MIN_IMAGES}: give more"
        )
    names = [view.name for view in inputs.views]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"views are named {names}; expected at least one, and each name only once: leave out "
            "the repetition"
        )
    for view in inputs.views:
        _check_view(view, inputs)
    _check_groups(inputs)
    digests = {view.data_digest for view in inputs.views if view.data_digest}
    if len(digests) > 1 and not force:
        shown = ", ".join(f"{v.name}: {v.data_digest[:8] or 'unknown'}" for v in inputs.views)
        raise DataError(
            f"the runs saw different data (digests {shown}); compare runs on the same data, or "
            "insist with --force"
        )


def _check_view(view: MapView, inputs: MapInputs) -> None:
    if view.text_vectors is None:
        what = "captions" if inputs.labels is None else "class names"
        raise InputError(
            f"{view.name!r} has no text vectors, which a map of images and {what} needs; give an "
            "encoder with a text tower"
        )
    expected = {"images": len(inputs.image_ids), "texts": len(inputs.texts)}
    for kind, vectors in (("images", view.image_vectors), ("texts", view.text_vectors)):
        if vectors.ndim != 2 or len(vectors) != expected[kind]:
            raise InputError(
                f"{view.name!r} has vectors of shape {vectors.shape} for {expected[kind]} {kind}; "
                "expected one row each"
            )
        _check_rows(view.name, kind, vectors)
    if view.image_vectors.shape[1] != view.text_vectors.shape[1]:
        raise InputError(
            f"{view.name!r} has images of {view.image_vectors.shape[1]} and texts of "
            f"{view.text_vectors.shape[1]} dimensions; expected one common space"
        )
    if view.predictions is not None and view.predictions.shape != (expected["images"],):
        raise InputError(
            f"{view.name!r} has predictions of shape {view.predictions.shape}; expected "
            f"({expected['images']},)"
        )


def _check_rows(name: str, kind: str, vectors: NDArray[np.float32]) -> None:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < 1e-2))  # catches what is not a number as well
    if len(wrong):
        raise InputError(
            f"row {wrong[0]} of the {kind} of {name!r} has norm {norms[wrong[0]]:.3g}; expected "
            "unit vectors: check the features"
        )


def _check_groups(inputs: MapInputs) -> None:
    groups, n_texts = inputs.image_groups, len(inputs.texts)
    n_groups = len(groups) if inputs.labels is None else len(inputs.class_names)
    if len(groups) != len(inputs.image_ids) or len(inputs.text_groups) != n_texts:
        raise InputError(
            f"{len(groups)} labels for {len(inputs.image_ids)} images and "
            f"{len(inputs.text_groups)} groups for {n_texts} texts came; expected one each"
        )
    for kind, values, low in (("labels", groups, -1), ("text groups", inputs.text_groups, 0)):
        if len(values) and not (low <= values.min() and values.max() < n_groups):
            raise InputError(
                f"{kind} run from {values.min()} to {values.max()}; expected {low} to "
                f"{n_groups - 1}"
            )
    shared = np.intersect1d(groups, inputs.text_groups)
    if len(shared) < 2:
        noun = "images with captions" if inputs.labels is None else "classes with images and texts"
        raise DataError(f"{len(shared)} {noun} came; a map needs at least 2: give more")
