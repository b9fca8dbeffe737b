"""Names beside points without covering one another.

It knows nothing about what the names stand for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["place_labels"]

_DIRECTIONS = (
    ("left", "center", 1.0, 0.0),
    ("right", "center", -1.0, 0.0),
    ("center", "bottom", 0.0, 1.0),
    ("center", "top", 0.0, -1.0),
    ("left", "bottom", 0.7, 0.7),
    ("left", "top", 0.7, -0.7),
    ("right", "bottom", -0.7, 0.7),
    ("right", "top", -0.7, -0.7),
)
# Beside the point; where there are few names also further away, at the end of a thin line.
_REACHES = (2.5, 9.0, 16.0)
_MAX_WITH_LINES = 30
_LINE_FROM_POINTS = 5.0
_LINE = {"arrowstyle": "-", "lw": 0.4, "color": "#6b6b6b", "shrinkA": 0, "shrinkB": 1}
Boxes = NDArray[np.float64]


def place_labels(
    axes: Any,  # Any: matplotlib's Axes, imported only where something is drawn
    places: NDArray[np.float32],
    names: Sequence[str],
    *,
    size: float,
    colours: Sequence[str],
) -> int:
    """Write each name beside its point, where no name before it and no point is in the way.

    Points with the fewest neighbours go first; a name that finds no room is left out.

    Args:
        axes: Where to draw; its limits must be final.
        places: float32 (M, 2), in data coordinates.
        names: M names.
        size: Font size in points.
        colours: M colours.

    Returns:
        How many names were drawn.
    """
    from matplotlib.text import Text

    renderer = axes.figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer).extents
    pixels = axes.transData.transform(places)
    half = 1.5 * axes.figure.dpi / 72
    taken = np.concatenate([pixels - half, pixels + half], axis=1)
    drawn = 0
    for index in _loneliest_first(pixels):
        others = np.delete(taken, index, axis=0) if index < len(pixels) else taken
        for horizontal, vertical, right, up in _spots(len(names)):
            label = axes.annotate(
                names[index],
                places[index],
                xytext=(right, up),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=size,
                color=colours[index],
                parse_math=False,
                arrowprops=_LINE if max(abs(right), abs(up)) > _LINE_FROM_POINTS else None,
                zorder=6,
            )
            label.update_positions(renderer)
            # The words alone: a thin line may cross others.
            box = np.asarray(Text.get_window_extent(label, renderer).extents)
            if _inside(box, frame) and not _overlaps(box, others):
                taken = np.concatenate([taken, box[None]])
                drawn += 1
                break
            label.remove()
    return drawn


def _spots(n_names: int) -> Iterator[tuple[str, str, float, float]]:
    for reach in _REACHES if n_names <= _MAX_WITH_LINES else _REACHES[:1]:
        for horizontal, vertical, right, up in _DIRECTIONS:
            yield horizontal, vertical, reach * right, reach * up


def _loneliest_first(pixels: NDArray[np.float64]) -> list[int]:
    distances = np.linalg.norm(pixels[:, None] - pixels, axis=2)
    near = np.sort(distances, axis=1)[:, : min(5, len(pixels))].mean(axis=1)
    return [int(i) for i in np.argsort(-near, kind="stable")]


def _inside(box: NDArray[np.float64], frame: NDArray[np.float64]) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _overlaps(box: NDArray[np.float64], others: Boxes) -> bool:
    apart = (others[:, 2:] <= box[:2]) | (others[:, :2] >= box[2:])
    return bool((~apart.any(axis=1)).any())
