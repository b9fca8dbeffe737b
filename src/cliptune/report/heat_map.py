"""A matrix as a chart: confusions, or scores over two rates.

It knows numbers and words, nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.report.charts import FAINT, FONT_SIZE, WIDTH, Chart, new_chart, short_name
from cliptune.system.escaping import for_figure

__all__ = ["plot_heat_map"]


def plot_heat_map(
    values: NDArray[np.float64],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    row_label: str,
    column_label: str,
    percent: bool = False,
) -> Chart:
    """Draw a matrix with its numbers where there is room for them; not-a-number stays empty."""
    n_rows, n_columns = values.shape
    chart, axes = new_chart(min(0.9 + n_rows * WIDTH / max(n_columns, 5) * 0.72, 4.8))
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    axes.imshow(values, cmap="Blues", aspect="auto", vmin=low, vmax=max(high, low + 1e-9))
    if n_columns <= 12:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = value > low + 0.6 * (high - low)
                text = f"{100 * value:.1f}" if percent else f"{value:g}"
                axes.text(column, row, text, ha="center", va="center", fontsize=FONT_SIZE - 1,
                          color="#fdfdfd" if dark else "#101214")  # fmt: skip
    axes.set_xticks(*_ticks(columns), rotation=40 if max(map(len, columns)) > 5 else 0)
    for tick in axes.get_xticklabels():
        tick.set_horizontalalignment("right" if tick.get_rotation() else "center")
    axes.set_yticks(*_ticks(rows))
    axes.spines[:].set_visible(False)
    axes.set_xlabel(for_figure(column_label), fontsize=FONT_SIZE, color=FAINT)
    axes.set_ylabel(for_figure(row_label), fontsize=FONT_SIZE, color=FAINT)
    return chart


def _ticks(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Name every row, or of very many every so many."""
    step = -(-len(names) // 30)
    positions = list(range(0, len(names), step))
    return positions, [short_name(names[position]) for position in positions]
