"""The learning curve of few-shot trials: accuracy over images a class, as table and figure.

It draws and lists numbers that were computed before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cliptune.plots.figures import COLOURS, Figure, font_families, new_figure, save_figure
from cliptune.runs import RunDir
from cliptune.system.escaping import for_legend

__all__ = ["plot_learning_curve", "write_learning_curve"]

Json = Mapping[str, Any]  # Any: plain JSON values

_MARKERS = "osD^vP<>"


def write_learning_curve(run: RunDir, few_shot: Json) -> None:
    """Write ``few_shot.csv``, one line a trial, and ``few_shot.svg`` and ``.png``.

    Args:
        run: The run to write into.
        few_shot: What ``few_shot.score_trials`` returned.
    """
    header = ["method", "shots", "seed", "n_train", "n_val", "val_accuracy", "n_test"]
    header += ["test_accuracy", "test_low", "test_high", "test_log_loss", "test_ece"]
    run.write_csv("few_shot.csv", header, _lines(few_shot))
    save_figure(plot_learning_curve(few_shot), run.path / "few_shot")


def _lines(few_shot: Json) -> Iterator[list[str]]:
    for method, by_shots in few_shot["methods"].items():
        for shots, at in by_shots.items():
            for one in at["runs"]:
                val, test = one["val"], one["test"]
                scores = [test["accuracy"], *test["interval"], test["log_loss"], test["ece"]]
                yield [
                    method,
                    shots,
                    *map(str, (one["seed"], one["n_train"], val["n"] if val else 0)),
                    f"{val['accuracy']:.6f}" if val else "",
                    str(test["n"]),
                    *(f"{score:.6f}" for score in scores),
                ]


def plot_learning_curve(few_shot: Json) -> Figure:
    """Draw mean accuracy on the test over shots, a line a method, bars of one deviation.

    Zero-shot, which no image changes, is a dashed line. Methods are shifted sideways a little,
    so that their bars stay apart.
    """
    figure = new_figure(5.4, 3.4)
    axes = figure.subplots()
    shots = few_shot["shots"]
    methods = {n: curve for n, curve in few_shot["methods"].items() if n != "zero-shot"}
    last = str(shots[-1])
    # of one image a class none can be held out, which some methods need
    at = {name: [n for n in shots if str(n) in curve] for name, curve in methods.items()}
    order = sorted(methods, key=lambda n: -methods[n][str(at[n][-1])]["test"]["accuracy"]["mean"])
    colour_of = dict(zip(methods, COLOURS * (len(methods) // len(COLOURS) + 1), strict=False))
    for place, name in enumerate(order):
        nudge = 1 + 0.025 * (place - (len(order) - 1) / 2)
        scores = [methods[name][str(n)]["test"]["accuracy"] for n in at[name]]
        axes.errorbar(
            [n * nudge for n in at[name]],
            [100 * score["mean"] for score in scores],
            yerr=[100 * (score["std"] or 0.0) for score in scores],
            color=colour_of[name],
            marker=_MARKERS[place % len(_MARKERS)],
            ms=3.5,
            lw=1.3,
            elinewidth=0.9,
            capsize=2,
            label=for_legend(name),
        )
    zero_shot = few_shot["methods"]["zero-shot"][last]["test"]["accuracy"]["mean"]
    axes.axhline(100 * zero_shot, color="#444444", lw=1.1, ls="--", label="zero-shot")
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(n) for n in shots])
    axes.minorticks_off()
    axes.set_ylim(top=min(axes.get_ylim()[1], 101.0))  # a deviation may reach beyond all right
    _name_axes(axes, few_shot)
    axes.legend(
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        prop={"size": 7.5, "family": font_families()},
    )
    return figure


def _name_axes(axes: Any, few_shot: Json) -> None:  # Any: matplotlib's Axes
    n_seeds = len(few_shot["seeds"])
    bars = f"; bars: one standard deviation over {n_seeds} draws" if n_seeds > 1 else ""
    axes.set_xlabel("training images of each class", fontsize=8)
    axes.set_ylabel("accuracy on the locked test, %", fontsize=8)
    axes.set_title(f"n = {few_shot['n']} test images{bars}", fontsize=8, loc="left")
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
