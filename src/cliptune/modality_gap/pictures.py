"""A few thumbnails in a figure, at the place of their point.

It knows nothing about what the pictures show.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["draw_pictures", "spread_out"]

_MAX_PICTURES = 10
_SIDE_POINTS = 16.0


def draw_pictures(
    axes: Any,  # Any: matplotlib's Axes, imported only where something is drawn
    places: NDArray[np.float32],
    thumbnails: Sequence[bytes],
    colour: str,
) -> None:
    """Draw up to ten thumbnails centred on their points, chosen not to cover one another.

    Args:
        axes: Where to draw; its limits must be final.
        places: float32 (N, 2).
        thumbnails: N encoded pictures, or none.
        colour: Of the frames.
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    if not thumbnails:
        return
    apart = 1.5 * _SIDE_POINTS * axes.figure.dpi / 72
    for row in spread_out(axes.transData.transform(places), _MAX_PICTURES, apart):
        with Image.open(io.BytesIO(thumbnails[row])) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        image = OffsetImage(
            pixels, zoom=_SIDE_POINTS / pixels.shape[0], interpolation="antialiased"
        )
        box = AnnotationBbox(
            image, places[row], pad=0.08, bboxprops={"edgecolor": colour, "lw": 0.7}, zorder=5
        )
        axes.add_artist(box)


def spread_out(
    places: NDArray[np.floating[Any]],  # Any: either float width
    limit: int,
    apart: float = 0.0,
) -> list[int]:
    """Choose points greedily, each as far as can be from those before it.

    The first is the one nearest the middle. The outermost 2 % in either direction are no
    candidates: outliers would say little about the rest.

    Args:
        places: (N, 2).
        limit: How many at most.
        apart: How far apart they are at least.
    """
    low, high = np.percentile(places, [2, 98], axis=0)
    candidates = np.flatnonzero(((places >= low) & (places <= high)).all(axis=1))
    if len(candidates) == 0:
        return []
    inner = places[candidates]
    chosen = [int(np.linalg.norm(inner - inner.mean(axis=0), axis=1).argmin())]
    nearest = np.linalg.norm(inner - inner[chosen[0]], axis=1)
    while len(chosen) < min(limit, len(candidates)) and nearest.max() > apart:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(inner - inner[chosen[-1]], axis=1))
    return [int(candidates[index]) for index in chosen]
