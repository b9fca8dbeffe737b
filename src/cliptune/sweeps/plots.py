"""The figures of a sweep: accuracy over the rate, loss curves, and the map of two rates.

It knows nothing about models; it draws trials.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cliptune.plots.figures import Figure, new_figure
from cliptune.sweeps.ranking import Ranking
from cliptune.sweeps.records import Trial
from cliptune.system.formatting import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_heatmap", "plot_losses", "plot_rates"]

_BLUE, _RED, _GREY, _BAND = "#2166ac", "#b2182b", "#6b6b6b", "#9ecae1"
_MARKERS = "osD^vP"


def plot_rates(
    trials: Sequence[Trial], verdict: Ranking, *, axis: str, start_accuracy: float
) -> Figure:
    """Draw validation accuracy over the rate: mean and range of the seeds, a line a setting.

    Args:
        trials: Those that compete.
        verdict: Its noise band is shaded.
        axis: The horizontal axis.
        start_accuracy: Of the model before training.
    """
    figure, axes = _new_figure((5.2, 3.4))
    band = verdict.band(axis)
    ratio = 1.12
    axes.axvspan(band[0] / ratio, band[-1] * ratio, color=_BAND, alpha=0.25, lw=0)
    lines: dict[Any, dict[float, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        rest = tuple((n, v) for n, v in trial.cell.point if n != axis)
        lines[rest][trial.cell.rates[axis]].append(trial)
    colours = _colours(len(lines))
    for (rest, by_rate), colour, marker in zip(
        sorted(lines.items()), colours, _MARKERS * len(lines), strict=False
    ):
        label = ", ".join(f"{n} {rate(v)}" for n, v in rest) if len(lines) > 1 else "mean of seeds"
        _draw_line(axes, by_rate, colour, marker, label)
    axes.axhline(start_accuracy, color=_GREY, lw=1, ls=":", label="before training")
    axes.set_xscale("log")
    axes.set_xlabel(f"{axis} (shaded: within noise of the best)", fontsize=8)
    axes.set_ylabel(f"validation accuracy, n = {verdict.n_val}", fontsize=8)
    axes.legend(frameon=False, fontsize=7)
    return figure


def plot_losses(trials: Sequence[Trial], *, axis: str, unit: str) -> Figure:
    """Draw the training loss of one seed, a line a rate; runs that diverged end in a cross.

    Args:
        trials: Of any seeds; the lowest one is drawn.
        axis: What colours the lines.
        unit: What the losses are counted in: ``epoch`` or ``step``.
    """
    figure, axes = _new_figure((5.2, 3.4))
    seed = min(trial.cell.seed for trial in trials)
    drawn = sorted(
        (trial for trial in trials if trial.cell.seed == seed), key=lambda t: t.cell.point
    )
    values = sorted({trial.cell.rates[axis] for trial in drawn})
    colour_of = dict(zip(values, _colours(len(values)), strict=True))
    named: set[float] = set()
    for trial in drawn:
        value = trial.cell.rates[axis]
        losses = np.asarray(trial.losses, dtype=float)
        known = np.flatnonzero(np.isfinite(losses))
        style = {"color": _RED, "ls": "--"} if trial.diverged else {"color": colour_of[value]}
        label = None if value in named else rate(value) + (" diverged" if trial.diverged else "")
        named.add(value)
        axes.plot(known, losses[known], lw=1.1, label=label, **style)
        if trial.diverged and len(known):
            axes.plot(known[-1], losses[known[-1]], "x", color=_RED, ms=7, mew=1.8)
    start = max(1e-9, max(trial.losses[0] for trial in drawn))
    highest = max(np.nanmax(trial.losses) for trial in drawn)
    if highest > 20 * start:
        axes.set_yscale("log")
    axes.set_xlabel(unit, fontsize=8)
    axes.set_ylabel("training loss", fontsize=8)
    axes.legend(frameon=False, fontsize=6, title=axis, title_fontsize=7, ncols=2)
    return figure


def plot_heatmap(cells: dict[str, Any]) -> Figure:  # Any: plain JSON values
    """Draw accuracy over two rates.

    Args:
        cells: ``rows``, ``columns`` (names), their values under those names, and for each pair
            ``val_accuracy``, ``diverged`` and ``note``; None where nothing was trained.
    """
    rows, columns = cells[cells["rows"]], cells[cells["columns"]]
    figure, axes = _new_figure((1.6 + 1.05 * len(columns), 1.4 + 0.55 * len(rows)))
    values = np.array(cells["val_accuracy"], dtype=float)
    axes.grid(visible=False)
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    low, high = np.nanmin(values), np.nanmax(values)
    for r, c in np.ndindex(values.shape):
        if math.isnan(values[r, c]):
            axes.text(c, r, "not tried", ha="center", va="center", fontsize=6, color=_GREY)
            continue
        dark = values[r, c] < (low + high) / 2 if high > low else True
        mark = "diverged\n" if cells["diverged"][r][c] else ""
        axes.text(
            c,
            r,
            f"{mark}{100 * values[r, c]:.1f}\n{cells['note'][r][c]}",
            ha="center",
            va="center",
            fontsize=6,
            color="#ff9d9d" if mark and dark else _RED if mark else "white" if dark else "black",
        )
    axes.set_xticks(range(len(columns)), [rate(v) for v in columns])
    axes.set_yticks(range(len(rows)), [_row_name(cells["rows"], v) for v in rows])
    axes.set_xlabel(f"{cells['columns']} rate" if cells["columns"] == "head" else cells["columns"])
    axes.set_ylabel(f"{cells['rows']} rate" if cells["rows"] == "backbone" else cells["rows"])
    bar = figure.colorbar(image, ax=axes, format=lambda v, _: f"{100 * v:.0f} %")
    bar.ax.tick_params(labelsize=6)
    bar.set_label("validation accuracy", fontsize=7)
    return figure


def _row_name(name: str, value: float) -> str:
    return "frozen" if name == "backbone" and value == 0 else rate(value)


def _draw_line(
    axes: Axes, by_rate: dict[float, list[Trial]], colour: Any, marker: str, label: str
) -> None:  # Any: one of matplotlib's forms of a colour
    rates = sorted(by_rate)
    accuracies = [[trial.val_accuracy for trial in by_rate[value]] for value in rates]
    axes.plot(
        rates,
        [np.mean(own) for own in accuracies],
        color=colour,
        marker=marker,
        ms=4,
        lw=1.3,
        label=label,
    )
    lows, highs = [min(own) for own in accuracies], [max(own) for own in accuracies]
    axes.fill_between(rates, lows, highs, color=colour, alpha=0.2, lw=0)
    for value, own in zip(rates, accuracies, strict=True):
        if any(trial.diverged for trial in by_rate[value]):
            axes.plot(value, np.mean(own), "x", color=_RED, ms=9, mew=1.8, zorder=5)


def _colours(n: int) -> list[Any]:  # Any: one of matplotlib's forms of a colour
    from matplotlib import colormaps

    if n == 1:
        return [_BLUE]
    return [colormaps["viridis"](0.92 * k / (n - 1)) for k in range(n)]


def _new_figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = new_figure(*size)
    axes: Axes = figure.subplots()
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25, lw=0.5)
    axes.set_axisbelow(True)
    return figure, axes
