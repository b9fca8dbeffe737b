"""From vectors to a map: numbers, places and words, all that figures are drawn from.

It knows nothing about files or figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.findings import Finding, measure_view
from cliptune.modality_gap.inputs import MapInputs, MapOptions, MapView, check_inputs
from cliptune.modality_gap.pairing import pair_by_group
from cliptune.modality_gap.projection import Cloud, Plane, project
from cliptune.modality_gap.result import DrawnView, ModalityMap
from cliptune.modality_gap.summary import summarise
from cliptune.modality_gap.thumbnails import make_thumbnails

__all__ = ["MAX_DRAWN_IMAGES", "build_map"]

MAX_DRAWN_IMAGES = 20_000


def build_map(
    inputs: MapInputs,
    options: MapOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ModalityMap:
    """Measure the gap, project the points, and compare the views.

    Numbers rest on all images (within the caps that ``measure_gap`` states); the picture shows
    at most 20,000 of them, drawn with the seed.

    Args:
        inputs: Vectors, groups and names.
        options: Defaults are a PCA fitted on the first view.
        progress: Called with (steps done, steps in all): projection, each view, pictures.

    Raises:
        DataError: There are too few images or classes, or the views saw different data.
        InputError: Names, shapes or values are wrong.
        MissingExtraError: ``umap`` without umap-learn.
    """
    options = options or MapOptions()
    check_inputs(inputs, force=options.force)
    drawn = _draw_rows(len(inputs.image_ids), options.seed)
    shown = _shown_texts(inputs, drawn)
    clouds = [_cloud(view, inputs, drawn, shown) for view in inputs.views]
    tell = _count_steps(progress, len(inputs.views) + 2)
    planes, remarks = project(clouds, method=options.method, fit=options.fit, seed=options.seed)
    tell()
    paired = pair_by_group(inputs.image_groups, inputs.text_groups)
    findings = []
    for view in inputs.views:
        findings.append(measure_view(view, inputs, paired, options))
        tell()
    numbers = summarise(inputs, findings, planes, options)
    numbers["n_drawn"] = len(drawn)
    numbers["remarks"] = [*_remarks(inputs, drawn, paired[1]), *remarks]
    load = inputs.load_image
    thumbnails = () if load is None else make_thumbnails(load(int(row)) for row in drawn)
    tell()
    return ModalityMap(
        numbers=numbers,
        image_ids=tuple(inputs.image_ids[row] for row in drawn),
        labels=_label_texts(inputs, drawn),
        texts=tuple(inputs.texts[row] for row in shown),
        image_groups=inputs.image_groups[drawn],
        text_groups=inputs.text_groups[shown],
        views=tuple(
            _drawn_view(found, plane, inputs, drawn)
            for found, plane in zip(findings, planes, strict=True)
        ),
        thumbnails=thumbnails,
    )


def _count_steps(progress: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    """Return what tells ``progress``, if there is one, that one more step is done."""
    done = itertools.count(1)
    if progress is None:
        return lambda: None
    progress(0, total)
    return lambda: progress(next(done), total)


def _draw_rows(n_images: int, seed: int) -> NDArray[np.int64]:
    if n_images <= MAX_DRAWN_IMAGES:
        return np.arange(n_images)
    rng = np.random.default_rng([seed, 5])
    return np.sort(rng.choice(n_images, MAX_DRAWN_IMAGES, replace=False))


def _shown_texts(inputs: MapInputs, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Show every class text, but only the captions of images that are drawn."""
    if inputs.labels is not None:
        return np.arange(len(inputs.texts))
    return np.flatnonzero(np.isin(inputs.text_groups, drawn))


def _cloud(
    view: MapView, inputs: MapInputs, drawn: NDArray[np.int64], shown: NDArray[np.int64]
) -> Cloud:
    assert view.text_vectors is not None, "check_inputs refuses views without texts"
    pairing, images, texts = pair_by_group(inputs.image_groups[drawn], inputs.text_groups[shown])
    first, second = pairing.matched_pairs()
    return Cloud(
        view.image_vectors[drawn], view.text_vectors[shown], (images[first], texts[second])
    )


def _drawn_view(
    found: Finding, plane: Plane, inputs: MapInputs, drawn: NDArray[np.int64]
) -> DrawnView:
    groups = inputs.image_groups[drawn]
    predicted = found.predicted[drawn]
    known = np.isin(groups, inputs.text_groups) & (predicted >= 0)
    if inputs.labels is None:
        names: tuple[str | None, ...] = tuple(inputs.texts[t] for t in found.nearest[drawn])
    else:
        names = tuple(inputs.class_names[p] if p >= 0 else None for p in predicted)
    return DrawnView(
        name=found.view.name,
        image_places=plane.images,
        text_places=plane.texts,
        predicted=names,
        correct=np.where(known, predicted == groups, -1).astype(np.int8),
    )


def _label_texts(inputs: MapInputs, drawn: NDArray[np.int64]) -> tuple[str | None, ...]:
    if inputs.labels is not None:
        return tuple(inputs.class_names[c] if c >= 0 else None for c in inputs.labels[drawn])
    captions: dict[int, str] = {}
    for owner, text in zip(inputs.text_groups.tolist(), inputs.texts, strict=True):
        captions.setdefault(owner, text)
    return tuple(captions.get(int(row)) for row in drawn)


def _remarks(
    inputs: MapInputs, drawn: NDArray[np.int64], paired_images: NDArray[np.int64]
) -> list[str]:
    remarks = list(inputs.remarks)
    n = len(inputs.image_ids)
    if len(drawn) < n:
        remarks.append(
            f"The picture shows {len(drawn)} of {n} images, drawn at random; the numbers rest on "
            "all of them."
        )
    if len(paired_images) < n:
        remarks.append(
            f"{n - len(paired_images)} images have no text of their own; they are drawn but do "
            "not count."
        )
    return remarks
