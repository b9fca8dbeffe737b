"""How the classes fare: precision and recall of each, and which is taken for which.

It lists and draws scores that were computed before, as CSV, SVG and PNG.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import MOST_DENSE, Metrics
from cliptune.plots.figures import Figure, font_families, new_figure, save_figure
from cliptune.runs import RunDir
from cliptune.system.escaping import for_figure

__all__ = ["plot_confusion", "write_class_scores"]

_MOST_NUMBERED = 30
_LONGEST_NAME = 30  # letters
_LETTER_WIDTH = 0.62  # of the font's size, about
_USUAL_ROOM = 1.0  # inches
_MOST_NAMED = 120
_MOST_DRAWN = 500


def write_class_scores(run: RunDir, metrics: Metrics) -> None:
    """Write ``per_class.csv``, ``confusion.csv``, ``confusion.svg`` and ``confusion.png``.

    The table of confusions has a row a class; of more than 200 classes a row for each pair that
    occurs, and the picture adds up neighbouring classes where there are more than 500.

    Args:
        run: The run to write into.
        metrics: Scores of one classifier.
    """
    names = [one.name for one in metrics.per_class]
    header = ["class", "n", "precision", "recall", "recall_low", "recall_high", "f1"]
    run.write_csv(
        "per_class.csv",
        header,
        (
            [c.name, str(c.n)]
            + [f"{x:.6f}" for x in (c.precision, c.recall, c.recall_low, c.recall_high, c.f1)]
            for c in metrics.per_class
        ),
    )
    if len(names) <= MOST_DENSE:
        matrix = metrics.confusion
        rows = ([name, *map(str, row)] for name, row in zip(names, matrix, strict=True))
        run.write_csv("confusion.csv", ["class", *names], rows)
    else:
        matrix = _coarse(metrics.cells, len(names))
        cells = ([names[true], names[said], str(count)] for true, said, count in metrics.cells)
        run.write_csv("confusion.csv", ["class", "predicted", "n"], cells)
    save_figure(plot_confusion(matrix, names[: len(matrix)]), run.path / "confusion")


def _coarse(cells: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Add up neighbouring classes, so that a picture's points are no finer than it shows."""
    step = -(-n_classes // _MOST_DRAWN)
    size = -(-n_classes // step)
    matrix = np.zeros((size, size), dtype=np.int64)
    np.add.at(matrix, (cells[:, 0] // step, cells[:, 1] // step), cells[:, 2])
    return matrix


def plot_confusion(confusion: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Draw the confusion matrix: a row a true class, coloured by the share of that class.

    Up to 30 classes carry their counts, up to 120 their names.

    Args:
        confusion: int64 (C, C), rows are true classes, columns predicted ones.
        names: C class names.
    """
    n = len(names)
    size = float(np.clip(1.6 + 0.28 * n, 3.0, 9.0))
    font_size = float(np.clip(180 / n, 3.0, 8.0))
    shown = [for_figure(name, longest=_LONGEST_NAME) for name in names] if n <= _MOST_NAMED else []
    room = _room_for_names(shown, font_size)
    figure = new_figure(size + room + 0.9, size + room)
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    font = {"fontsize": font_size, "family": font_families()}
    if shown:
        axes.set_xticks(range(n), shown, rotation=90, **font)
        axes.set_yticks(range(n), shown, **font)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.tick_params(length=0)
    if n <= _MOST_NUMBERED:
        for true, predicted in zip(*np.nonzero(confusion), strict=True):
            axes.text(
                predicted,
                true,
                str(confusion[true, predicted]),
                ha="center",
                va="center",
                color="white" if shares[true, predicted] > 0.5 else "#222222",
                fontsize=float(np.clip(150 / n, 3.5, 8.0)),
            )
    axes.set_xlabel("predicted", fontsize=8)
    axes.set_ylabel("label", fontsize=8)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)
    bar.set_label("share of the images with this label", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    return figure


def _room_for_names(names: Sequence[str], font_size: float) -> float:
    """Return the inches by which a figure grows where names are longer than usual."""
    longest = max(map(len, names), default=0) * font_size * _LETTER_WIDTH / 72
    return max(0.0, longest - _USUAL_ROOM)
