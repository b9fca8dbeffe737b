"""What both renderings share: axis names, ranges, and the lines from texts to images.

It knows nothing about how either draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.result import DrawnView, ModalityMap
from cliptune.system.formatting import percent

__all__ = ["METHOD_TITLES", "axis_names", "data_extent", "describe_projection", "link_ends"]

METHOD_TITLES = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
_MARGIN = 0.06


def axis_names(numbers: Mapping[str, Any], method: str) -> list[str]:  # Any: plain JSON values
    """Name both axes of a view, with the share of variance along each where there is one."""
    short = "PC" if method == "pca" else METHOD_TITLES[method]
    shares = numbers["explained_variance"]
    if shares is None:
        return [f"{short} {number}" for number in (1, 2)]
    return [f"{short} {k} ({percent(s)} of variance)" for k, s in enumerate(shares, start=1)]


def data_extent(result: ModalityMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper ends, each (2,), of all views' points with a margin."""
    places = np.concatenate([p for v in result.views for p in (v.image_places, v.text_places)])
    low, high = places.min(axis=0).astype(np.float64), places.max(axis=0).astype(np.float64)
    margin = _MARGIN * np.maximum(high - low, 1e-6)
    return low - margin, high + margin


def describe_projection(result: ModalityMap) -> str:
    """Say what is shown and how it was projected, e.g. as a figure's caption."""
    projection = result.numbers["projection"]
    kind = "captions" if result.has_captions else "class texts"
    text = f"{len(result.labels):,} images and {len(result.texts):,} {kind} in one "
    text += METHOD_TITLES[projection["method"]]
    if len(result.views) > 1:
        text += f", fitted on {'all views' if projection['fit'] == 'all' else 'the first view'}"
    return text


def link_ends(result: ModalityMap, view: DrawnView) -> NDArray[np.float32]:
    """Return a line from every text with images to their centroid: (L, 2, 2), texts in order."""
    known = result.image_groups >= 0
    groups, inverse = np.unique(result.image_groups[known], return_inverse=True)
    sums = np.zeros((len(groups), 2))
    np.add.at(sums, inverse, view.image_places[known])
    centroids = sums / np.bincount(inverse)[:, None]
    has_images = np.isin(result.text_groups, groups)
    ends = centroids[np.searchsorted(groups, result.text_groups[has_images])]
    return np.stack([view.text_places[has_images], ends], axis=1).astype(np.float32)
