"""What a sweep says and leaves on disk: numbers first, figures drawn from them.

It knows nothing about how trials came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cliptune.plots.figures import Figure, save_figure
from cliptune.runs import RunDir
from cliptune.sweeps.plots import plot_heatmap, plot_losses, plot_rates
from cliptune.sweeps.ranking import PointScore, Ranking, seeds_interval
from cliptune.sweeps.records import Trial
from cliptune.sweeps.tables import trial_rows, write_tables

__all__ = ["Conclusion", "best_of", "grid_of_rates", "summarise", "write_sweep"]

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class Conclusion:
    """What follows from the trials.

    Attributes:
        trials: All that are finished.
        verdict: Of those that compete; None where every one diverged.
        recommendation: As plain JSON values, ``text`` among them.
        rivals: Those that were compared.
        curves: Those whose losses are drawn.
        axis: The rate that the noise band runs along.
        curve_axis: The rate that tells loss curves apart.
        unit: What losses are counted in.
        start_accuracy: On validation, before training.
        frozen: Parts that no trial moves.
        heatmap: Accuracy over two rates, where there are two.
    """

    trials: tuple[Trial, ...]
    verdict: Ranking | None
    recommendation: Json
    rivals: tuple[Trial, ...]
    curves: tuple[Trial, ...]
    axis: str
    curve_axis: str
    unit: str
    start_accuracy: float
    frozen: tuple[str, ...]
    heatmap: Json | None


def best_of(score: PointScore) -> Json:
    """Return the best point with n and interval."""
    low, high = seeds_interval(score)
    return {
        **score.rates,
        "val_accuracy": score.accuracy,
        "interval": [low, high],
        "n": len(score.trials[0].hits),
        "interval_method": "bootstrap over images and seeds, percentile",
        "val_loss": score.loss,
        "seeds": [trial.cell.seed for trial in score.trials],
        "seed_accuracies": [trial.val_accuracy for trial in score.trials],
        "seconds": float(np.mean([trial.seconds for trial in score.trials])),
    }


def summarise(conclusion: Conclusion) -> Json:
    """Return trials, best, noise band, recommendation and heat map as plain JSON values."""
    verdict = conclusion.verdict
    return {
        "trials": trial_rows(conclusion.trials, frozen=conclusion.frozen),
        "best": None if verdict is None else best_of(verdict.best),
        "within_noise": None if verdict is None else verdict.to_dict(conclusion.axis),
        "recommendation": conclusion.recommendation,
        "before_training": {"val_accuracy": conclusion.start_accuracy},
        "heatmap": conclusion.heatmap,
        "n_diverged": sum(trial.diverged for trial in conclusion.trials),
    }


def write_sweep(place: Path, asked: Mapping[str, Any], conclusion: Conclusion, facts: Json) -> Json:
    """Fill a run directory.

    Args:
        place: Where the run goes.
        asked: The options.
        conclusion: What follows from the trials.
        facts: What else the result holds.

    Returns:
        What is reported, as plain JSON values.
    """
    run = RunDir.create(place, {**asked, "data_digest": facts["data_digest"]})
    result = {"task": "sweep", **asked, **facts, **summarise(conclusion)}
    write_tables(run, result["trials"], conclusion.trials)
    result["figures"] = {
        name: {
            kind: str(path) for kind, path in save_figure(figure, place / "figures" / name).items()
        }
        for name, figure in _draw(conclusion).items()
    }
    result["run"] = str(place)
    run.write_json("metrics.json", result)
    made_from = ("seed", "data_digest", "encoder", "engine", "precision", "rows_checked")
    run.finish({key: result[key] for key in made_from})
    return result


def grid_of_rates(trials: Sequence[Trial], rows: str, columns: str) -> Json:
    """Return mean accuracy over two rates, with the trials of most updates in each pair.

    ``note`` says how many passes over the images each pair rests on.
    """
    row_values = sorted({trial.cell.rates[rows] for trial in trials})
    column_values = sorted({trial.cell.rates[columns] for trial in trials})
    table: dict[str, list[list[Any]]] = {"val_accuracy": [], "diverged": [], "note": []}
    for row in row_values:
        line: dict[str, list[Any]] = {name: [] for name in table}
        for column in column_values:
            own = [
                trial
                for trial in trials
                if trial.cell.rates[rows] == row and trial.cell.rates[columns] == column
            ]
            longest = [t for t in own if t.cell.steps == max(o.cell.steps for o in own)]
            line["val_accuracy"].append(
                float(np.mean([t.val_accuracy for t in longest])) if longest else None
            )
            line["diverged"].append(any(t.diverged for t in longest) if longest else None)
            line["note"].append(_passes(longest[0]) if longest else None)
        for name, values in line.items():
            table[name].append(values)
    return {"rows": rows, "columns": columns, rows: row_values, columns: column_values, **table}


def _passes(trial: Trial) -> str:
    cell = trial.cell
    return f"{cell.steps * cell.batch_size / cell.n_train:.2g} ep."


def _draw(conclusion: Conclusion) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    if conclusion.verdict is not None:
        figures["rates"] = plot_rates(
            conclusion.rivals,
            conclusion.verdict,
            axis=conclusion.axis,
            start_accuracy=conclusion.start_accuracy,
        )
    if conclusion.curves:
        figures["losses"] = plot_losses(
            conclusion.curves, axis=conclusion.curve_axis, unit=conclusion.unit
        )
    if conclusion.heatmap is not None:
        figures["heatmap"] = plot_heatmap(conclusion.heatmap)
    return figures
