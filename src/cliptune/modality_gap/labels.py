"""Names beside points without covering one another.

It knows nothing about what the names stand for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.plots.figures import font_families
from cliptune.system.escaping import for_figure

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
_MARK = 1.5
# How much of a name lies before the anchor, by its alignment.
_BEFORE_ANCHOR = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}
Boxes = NDArray[np.float64]
Spot = tuple[str, str, float, float]


def place_labels(
    axes: Any,  # Any: matplotlib's Axes, imported only where something is drawn
    places: NDArray[np.float32],
    names: Sequence[str],
    *,
    sizes: Sequence[float],
    colours: Sequence[str],
    first: Sequence[int] = (),
) -> int:
    """Write each name beside its point, where no name before it and no point is in the way.

    After those that are to come first, points with the fewest neighbours do; a name that finds
    no room is left out. The names that come first may cover points as a last resort.

    Args:
        axes: Where to draw; its limits must be final.
        places: float32 (M, 2), in data coordinates.
        names: M names, any texts; long ones are cut.
        sizes: M font sizes in points.
        colours: M colours.
        first: Points whose names have the choice.

    Returns:
        How many names were drawn.
    """
    names = [for_figure(name) for name in names]
    scale = axes.figure.dpi / 72
    frame = np.asarray(axes.get_window_extent().extents)
    pixels = axes.transData.transform(places)
    marks = np.concatenate([pixels - _MARK * scale, pixels + _MARK * scale], axis=1)
    taken: Boxes = np.empty((0, 4))
    for index in [*first, *(i for i in _loneliest_first(pixels) if i not in first)]:
        extent = _measure(axes, names[index], sizes[index])
        spots = _spots(index in first or len(names) <= _MAX_WITH_LINES)
        boxes = [(spot, _box(pixels[index], spot, extent, scale)) for spot in spots]
        boxes = [(spot, box) for spot, box in boxes if _inside(box, frame)]
        obstacles = [np.concatenate([taken, np.delete(marks, index, axis=0)])]
        if index in first:
            obstacles.append(taken)
        for (spot, box), others in ((b, others) for others in obstacles for b in boxes):
            if not _overlaps(box, others):
                _write(axes, names[index], places[index], spot, sizes[index], colours[index])
                taken = np.concatenate([taken, box[None]])
                break
    return len(taken)


def _measure(axes: Any, name: str, size: float) -> NDArray[np.float64]:  # Any: see above
    """Return the width and height of a name in pixels."""
    text = axes.text(0, 0, name, fontsize=size, family=font_families())
    extent = text.get_window_extent(axes.figure.canvas.get_renderer())
    text.remove()
    return np.asarray([extent.width, extent.height])


def _spots(with_lines: bool) -> Iterator[Spot]:
    for reach in _REACHES if with_lines else _REACHES[:1]:
        for horizontal, vertical, right, up in _DIRECTIONS:
            yield horizontal, vertical, reach * right, reach * up


def _box(
    pixel: NDArray[np.float64], spot: Spot, extent: NDArray[np.float64], scale: float
) -> NDArray[np.float64]:
    horizontal, vertical, right, up = spot
    share = np.asarray([_BEFORE_ANCHOR[horizontal], _BEFORE_ANCHOR[vertical]])
    low = pixel + np.asarray([right, up]) * scale - share * extent
    return np.concatenate([low, low + extent])


def _write(
    axes: Any,  # Any: see above
    name: str,
    place: NDArray[np.float32],
    spot: Spot,
    size: float,
    colour: str,
) -> None:
    from matplotlib.patheffects import withStroke

    horizontal, vertical, right, up = spot
    axes.annotate(
        name,
        place,
        xytext=(right, up),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=size,
        color=colour,
        family=font_families(),
        path_effects=[withStroke(linewidth=1.2, foreground="white")],  # where it covers a mark
        arrowprops=_LINE if max(abs(right), abs(up)) > _LINE_FROM_POINTS else None,
        zorder=6,
    )


def _loneliest_first(pixels: NDArray[np.float64]) -> list[int]:
    distances = np.linalg.norm(pixels[:, None] - pixels, axis=2)
    near = np.sort(distances, axis=1)[:, : min(5, len(pixels))].mean(axis=1)
    return [int(i) for i in np.argsort(-near, kind="stable")]


def _inside(box: NDArray[np.float64], frame: NDArray[np.float64]) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _overlaps(box: NDArray[np.float64], others: Boxes) -> bool:
    apart = (others[:, 2:] <= box[:2]) | (others[:, :2] >= box[2:])
    return bool((~apart.any(axis=1)).any())
