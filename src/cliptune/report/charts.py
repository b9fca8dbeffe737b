"""Charts for reports: intervals, lines, bars, heat maps, scores against cost.

They know numbers and words, nothing about models. All are narrow enough to be read on a phone,
without a background, and their text stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cliptune.modality_gap.labels import place_labels
from cliptune.plots.figures import COLOURS, font_families
from cliptune.system.atomic import atomic_path
from cliptune.system.escaping import for_figure, for_legend, shorten

__all__ = [
    "FAINT",
    "FONT_SIZE",
    "WIDTH",
    "Axes",
    "Bar",
    "Chart",
    "Dot",
    "Line",
    "new_chart",
    "plot_bars",
    "plot_cost",
    "plot_dots",
    "plot_lines",
    "save_chart",
    "short_name",
]

Chart = Any  # Any: matplotlib's Figure, imported only where something is drawn
Axes = Any  # Any: matplotlib's Axes

INK, FAINT, LINE = "#1b1d1f", "#5c6268", "#d5d9dd"  # svg.py lets these follow the page's scheme
WIDTH = 4.6  # inches: 331 points, about what a phone shows
FONT_SIZE = 10
_ROW = 0.3
_LONGEST_NAME = 26


@dataclass(frozen=True)
class Dot:
    """A score with its interval on a row of its own.

    Attributes:
        name: What it belongs to.
        value: The score.
        low: Lower end of its interval.
        high: Upper end.
        group: Dots of one group share a colour; the group's name goes into the legend.
        marked: It stands out.
    """

    name: str
    value: float
    low: float
    high: float
    group: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Line:
    """A curve, perhaps with a band.

    Attributes:
        name: Goes into the legend.
        x: (n,).
        y: (n,).
        low: (n,), lower end of a band, or nothing.
        high: Likewise.
        dashed: Drawn in dashes.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """A number as a bar.

    Attributes:
        name: What it belongs to.
        value: Its length.
        text: Stands at its end.
        group: Bars of one group share a colour.
        marked: It stands out.
    """

    name: str
    value: float
    text: str
    group: str = ""
    marked: bool = False


def save_chart(chart: Chart, path: Path) -> None:
    """Write a chart as SVG, the same bytes for the same chart."""
    from matplotlib import rc_context

    # Both can only be set globally; they are put back at once.
    with (
        rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}),
        atomic_path(path) as temporary,
    ):
        chart.savefig(temporary, format="svg", transparent=True, metadata={"Date": None})


def plot_dots(dots: Sequence[Dot], *, label: str, percent: bool = True) -> Chart:
    """Draw scores under each other, each with its 95 % interval.

    Args:
        dots: From top to bottom.
        label: Of the axis.
        percent: The scores are shares.
    """
    factor = 100 if percent else 1
    groups = list(dict.fromkeys(dot.group for dot in dots))
    chart, axes = new_chart(len(dots) * _ROW + 0.62 + 0.2 * (len(groups) > 1))
    for row, dot in enumerate(dots):
        colour = COLOURS[groups.index(dot.group) % len(COLOURS)]
        axes.plot([factor * dot.low, factor * dot.high], [row, row], color=colour, lw=2.2,
                  alpha=0.55, solid_capstyle="round")  # fmt: skip
        axes.plot(factor * dot.value, row, "D" if dot.marked else "o", color=colour,
                  ms=7 if dot.marked else 6)  # fmt: skip
    _name_rows(axes, [dot.name for dot in dots], [dot.marked for dot in dots])
    axes.grid(axis="x", color=LINE, lw=0.7)
    axes.set_xlabel(for_figure(label), fontsize=FONT_SIZE, color=FAINT)
    if len(groups) > 1:
        _add_legend(chart, groups)
    return chart


def plot_bars(bars: Sequence[Bar], *, label: str = "") -> Chart:
    """Draw bars under each other, each with its number at its end."""
    groups = list(dict.fromkeys(bar.group for bar in bars))
    chart, axes = new_chart(len(bars) * _ROW + 0.35 + 0.2 * bool(label) + 0.2 * (len(groups) > 1))
    for row, bar in enumerate(bars):
        colour = COLOURS[groups.index(bar.group) % len(COLOURS)]
        axes.barh(row, bar.value, height=0.62, color=colour, alpha=1.0 if bar.marked else 0.6)
        axes.annotate(for_figure(bar.text), (bar.value, row), (4, 0), textcoords="offset points",
                      va="center", fontsize=FONT_SIZE, color=INK)  # fmt: skip
    _name_rows(axes, [bar.name for bar in bars], [bar.marked for bar in bars])
    axes.set_xlim(0, max((bar.value for bar in bars), default=1) * 1.22 or 1)
    axes.xaxis.set_visible(bool(label))
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel(for_figure(label), fontsize=FONT_SIZE, color=FAINT)
    if len(groups) > 1:
        _add_legend(chart, groups)
    return chart


def plot_lines(
    lines: Sequence[Line], *, x_label: str, y_label: str, logarithmic: bool = False
) -> Chart:
    """Draw curves with a legend above them.

    Args:
        lines: In the order of the legend.
        x_label: Of the horizontal axis.
        y_label: Of the vertical axis.
        logarithmic: Of the horizontal axis.
    """
    chart, axes = new_chart(2.9)
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(line.x, line.y, color=colour, lw=1.8, ls="--" if line.dashed else "-",
                  marker="o", ms=4)  # fmt: skip
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, lw=0)
    if logarithmic:
        axes.set_xscale("log")
    elif all(float(value).is_integer() for line in lines for value in line.x):
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=LINE, lw=0.7)
    axes.set_xlabel(for_figure(x_label), fontsize=FONT_SIZE, color=FAINT)
    axes.set_ylabel(for_figure(y_label), fontsize=FONT_SIZE, color=FAINT)
    _add_legend(chart, [line.name for line in lines], dashed=[line.dashed for line in lines])
    return chart


def plot_cost(dots: Sequence[Dot], seconds: Sequence[float], *, label: str) -> Chart:
    """Draw scores against the time they took, on a logarithmic axis.

    Args:
        dots: Scores with intervals.
        seconds: What each took, in their order.
        label: Of the vertical axis.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    chart, axes = new_chart(3.1)
    for dot, cost in zip(dots, seconds, strict=True):
        colour = COLOURS[2 if dot.marked else 0]
        x = max(cost, 1e-3)
        axes.plot([x, x], [100 * dot.low, 100 * dot.high], color=colour, lw=1.6, alpha=0.35)
        axes.plot(x, 100 * dot.value, "D" if dot.marked else "o", color=colour, ms=6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_locator(NullLocator())
    left, right = axes.get_xlim()
    axes.set_xlim(left / 1.5, right * 2)
    axes.grid(color=LINE, lw=0.7)
    axes.set_xlabel("seconds, logarithmic", fontsize=FONT_SIZE, color=FAINT)
    axes.set_ylabel(for_figure(label), fontsize=FONT_SIZE, color=FAINT)
    chart.draw_without_rendering()  # names are placed by pixels, so the layout has to be settled
    chart.set_layout_engine("none")
    places = [(max(cost, 1e-3), 100 * dot.value) for dot, cost in zip(dots, seconds, strict=True)]
    place_labels(
        axes,
        np.asarray(places, dtype=np.float32),
        [dot.name for dot in dots],
        sizes=[FONT_SIZE - 1.5] * len(dots),
        colours=[INK] * len(dots),
        first=range(len(dots)),
    )
    return chart


def new_chart(height: float) -> tuple[Chart, Axes]:
    """Make an empty chart of the usual width, its height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chart = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(chart)
    axes = chart.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(labelsize=FONT_SIZE, length=0, colors=FAINT)
    return chart, axes


def _name_rows(axes: Axes, names: Sequence[str], marked: Sequence[bool]) -> None:
    axes.set_yticks(range(len(names)), [short_name(name) for name in names])
    for tick, strong in zip(axes.get_yticklabels(), marked, strict=True):
        tick.set(color=INK, fontweight="bold" if strong else "normal", family=font_families())
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def _add_legend(chart: Chart, names: Sequence[str], dashed: Sequence[bool] | None = None) -> None:
    from matplotlib.lines import Line2D

    styles = dashed or [False] * len(names)
    handles = [
        Line2D([], [], color=COLOURS[k % len(COLOURS)], lw=2.2, ls="--" if d else "-",
               label=for_legend(shorten(name, _LONGEST_NAME)))
        for k, (name, d) in enumerate(zip(names, styles, strict=True))
    ]  # fmt: skip
    chart.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False,
                 labelcolor=INK, prop={"size": FONT_SIZE, "family": font_families()},
                 borderaxespad=0.0)  # fmt: skip


def short_name(name: str) -> str:
    """Return a name as it stands on an axis, with what is too long cut."""
    return for_figure(name, longest=_LONGEST_NAME)
