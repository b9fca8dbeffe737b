"""The static figures: the map and the shift curve, as SVG and PNG for papers.

It knows nothing about vectors or models; it draws what a ``ModalityMap`` holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.geometry import axis_names, data_extent, describe_projection, link_ends
from cliptune.modality_gap.labels import place_labels
from cliptune.modality_gap.palette import CLASS_COLOURS, IMAGE_COLOUR, TEXT_COLOUR
from cliptune.modality_gap.pictures import draw_pictures, spread_out
from cliptune.modality_gap.result import DrawnView, ModalityMap
from cliptune.plots.figures import Figure, font_families, new_figure
from cliptune.system.escaping import for_figure, for_legend

__all__ = ["plot_map", "plot_shift"]

_PANEL_INCHES = (3.7, 3.7)
_LINK_COLOUR = "#6b6b6b"
_UNKNOWN_COLOUR = "#9a9a9a"
_REST_COLOUR = "#c4c4c4"
_MAX_LINKS = 300
_RASTER_ABOVE = 3000

Axes = Any  # Any: matplotlib's Axes, imported only where something is drawn


def plot_map(result: ModalityMap) -> Figure:
    """Draw one column a view: coloured by modality, and by class or, with captions, by success.

    All panels share their limits. Class texts are tied to the centroid of their images,
    captions to their image; of more than 300 ties every so many are drawn.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    n_views = len(result.views)
    shape = (1, 2) if n_views == 1 else (2, n_views)
    figure = new_figure(shape[1] * _PANEL_INCHES[0], shape[0] * _PANEL_INCHES[1] + 0.3)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0.035, 1, 0.965)))
    panels = figure.subplots(*shape, squeeze=False)
    by_modality, by_kind = (panels[0][:1], panels[0][1:]) if n_views == 1 else panels
    second = "success" if result.has_captions else "class"
    for view, numbers, left, right in zip(
        result.views, result.numbers["views"], by_modality, by_kind, strict=True
    ):
        for axes, what in ((left, "modality"), (right, second)):
            axes.set_title(
                f"{for_figure(view.name)}, by {what}",
                fontsize=8,
                loc="left",
                family=font_families(),
            )
            _name_axes(axes, numbers, result.numbers["projection"]["method"])
            _set_limits(axes, result)  # so that room is made for ticks as wide as they will be
    caption = for_figure(describe_projection(result), longest=400)
    figure.text(0.005, 0.0, caption, fontsize=6, va="bottom", color="#444444")
    # Labels and pictures are placed by pixels, so the layout has to be settled before them.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in panels.flat:
        _set_limits(axes, result)
    for view, left, right in zip(result.views, by_modality, by_kind, strict=True):
        _draw_modalities(left, result, view)
        (_draw_success if result.has_captions else _draw_classes)(right, result, view)
    return figure


def plot_shift(views: Sequence[Mapping[str, Any]]) -> Figure:  # Any: plain JSON values
    """Draw scores over the signed distance of the centroids, one line a view and score.

    Args:
        views: The ``views`` of a map's numbers, each with its ``shift``.
    """
    figure = new_figure(4.2, 3.0)
    axes = figure.subplots()
    lines = [(v["name"], v["shift"], name) for v in views for name in v["shift"]["scores"]]
    for colour, (view_name, shift, name) in zip(_cycle(CLASS_COLOURS), lines, strict=False):
        scores = shift["scores"][name]
        values = [score["value"] for score in scores]
        bounds = np.asarray([score["interval"] for score in scores]).T
        label = for_legend(f"{view_name}, {name.replace('_', ' ')}")
        axes.plot(shift["distance"], values, color=colour, lw=1.4, label=label)
        axes.fill_between(shift["distance"], *bounds, color=colour, alpha=0.18, lw=0)
        start = shift["lambda"].index(0.0)
        axes.plot(shift["distance"][start], values[start], "o", color=colour, ms=5)
    axes.axvline(0, color=_LINK_COLOUR, lw=0.8, ls=":")
    axes.set_xlabel("signed distance of the centroids (dot: as it is; 0: gap closed)", fontsize=7)
    axes.set_ylabel("score, 95 % interval", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, prop={"size": 6.5, "family": font_families()})
    return figure


def _cycle(colours: Sequence[str]) -> Iterator[str]:
    while True:
        yield from colours


def _name_axes(axes: Axes, numbers: Mapping[str, Any], method: str) -> None:  # Any: JSON values
    names = axis_names(numbers, method)
    axes.set_xlabel(for_figure(names[0]), fontsize=7)
    axes.set_ylabel(for_figure(names[1]), fontsize=7)
    axes.tick_params(labelsize=6, length=2)
    axes.spines[["top", "right"]].set_visible(False)


def _set_limits(axes: Axes, result: ModalityMap) -> None:
    """Show all views' points, one unit as long on both axes: distances can be read off."""
    low, high = data_extent(result)
    frame = axes.get_window_extent()
    pixels = np.asarray([frame.width, frame.height])
    unit = float(((high - low) / pixels).max())
    (left, bottom), (right, top) = (
        (low + high) / 2 - unit * pixels / 2,
        (low + high) / 2 + unit * pixels / 2,
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _scatter(
    axes: Axes, places: NDArray[np.float32], colours: Sequence[str] | str, alpha: float
) -> None:
    axes.scatter(
        *places.T,
        s=float(np.clip(8000 / max(len(places), 1), 1.5, 9)),
        c=colours,
        alpha=alpha,
        linewidths=0,
        rasterized=len(places) > _RASTER_ABOVE,  # a vector file of 20,000 dots opens slowly
        zorder=2,
    )


def _draw_modalities(axes: Axes, result: ModalityMap, view: DrawnView) -> None:
    _draw_links(axes, result, view)
    _scatter(axes, view.image_places, IMAGE_COLOUR, 0.45)
    axes.scatter(
        *view.text_places.T,
        s=float(np.clip(1600 / max(len(view.text_places), 1), 3, 16)),
        marker="^",
        c=TEXT_COLOUR,
        linewidths=0.3,
        edgecolors="white",
        zorder=4,
    )
    draw_pictures(axes, view.image_places, result.thumbnails, IMAGE_COLOUR)
    _add_legend(axes, (("image", IMAGE_COLOUR, "o"), ("text", TEXT_COLOUR, "^")))


def _draw_links(
    axes: Axes, result: ModalityMap, view: DrawnView, groups: set[int] | None = None
) -> None:
    from matplotlib.collections import LineCollection

    ends = link_ends(result, view)
    if groups is not None:
        linked = result.text_groups[np.isin(result.text_groups, result.image_groups)]
        ends = ends[np.isin(linked, list(groups))]
    step = -(-len(ends) // _MAX_LINKS)
    chosen = ends[:: max(step, 1)]
    axes.add_collection(
        LineCollection(list(chosen), colors=_LINK_COLOUR, linewidths=0.4, alpha=0.4, zorder=1),
        autolim=False,
    )


def _draw_classes(axes: Axes, result: ModalityMap, view: DrawnView) -> None:
    """Colour up to eight classes; more than eight leave the rest grey.

    Eight is what a reader can tell apart. They are the same in every view, chosen for texts that
    lie far apart in the first.
    """
    coloured = _classes_to_colour(result)
    colours = dict(zip(result.text_groups[coloured].tolist(), CLASS_COLOURS, strict=False))
    is_coloured = np.isin(result.image_groups, list(colours))
    _scatter(axes, view.image_places[~is_coloured], _REST_COLOUR, 0.35)
    of_images = [colours[group] for group in result.image_groups[is_coloured].tolist()]
    _scatter(axes, view.image_places[is_coloured], of_images, 0.75)
    _draw_links(axes, result, view, set(colours))
    of_texts = [colours.get(group, _REST_COLOUR) for group in result.text_groups.tolist()]
    for rows, size in ((list(range(len(result.texts))), 8), (coloured, 20)):
        axes.scatter(
            *view.text_places[rows].T,
            s=size,
            marker="^",
            c=[of_texts[row] for row in rows],
            linewidths=0.4,
            edgecolors="black",
            zorder=4,
        )
    _name_classes(axes, result, view, coloured)


def _name_classes(
    axes: Axes, result: ModalityMap, view: DrawnView, coloured: Sequence[int]
) -> None:
    """Write names at their texts, and how many found room."""
    rows = range(len(result.texts))
    n_named = place_labels(
        axes,
        view.text_places,
        result.texts,
        sizes=[7.5 if row in coloured else 4.5 for row in rows],
        colours=["#1a1a1a" if row in coloured else "#6b6b6b" for row in rows],
        first=coloured,
    )
    if len(coloured) < len(rows):
        note = f"{len(coloured)} of {len(rows)} classes in colour, {n_named} named"
        axes.text(
            0.99, 1.005, note, fontsize=5.5, ha="right", va="bottom", transform=axes.transAxes
        )


def _classes_to_colour(result: ModalityMap) -> list[int]:
    """Rows of the texts whose classes get a colour."""
    if len(result.texts) <= len(CLASS_COLOURS):
        return list(range(len(result.texts)))
    with_images = np.flatnonzero(np.isin(result.text_groups, result.image_groups))
    places = result.views[0].text_places[with_images]
    return [int(with_images[k]) for k in spread_out(places, len(CLASS_COLOURS))]


def _draw_success(axes: Axes, result: ModalityMap, view: DrawnView) -> None:
    """Colour captioned images by whether the nearest caption is one of their own."""
    kinds = (
        ("nearest caption is its own", IMAGE_COLOUR, "o", 1),
        ("nearest caption is another's", CLASS_COLOURS[1], "o", 0),
    )
    _scatter(axes, view.image_places[view.correct < 0], _UNKNOWN_COLOUR, 0.5)
    for _, colour, _, code in kinds:
        _scatter(axes, view.image_places[view.correct == code], colour, 0.7)
    axes.scatter(
        *view.text_places.T, s=3, marker="^", c=_UNKNOWN_COLOUR, linewidths=0, alpha=0.5, zorder=1
    )
    _add_legend(axes, (*(kind[:3] for kind in kinds), ("text", _UNKNOWN_COLOUR, "^")))


def _add_legend(axes: Axes, entries: Sequence[tuple[str, str, str]]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, ls="", ms=4, label=label)
        for label, colour, marker in entries
    ]
    axes.legend(
        handles=handles, fontsize=6.5, frameon=True, framealpha=0.85, edgecolor="none", loc="best"
    )
