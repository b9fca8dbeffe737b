"""Runs of ``sweep`` as documents.

It knows what the command writes and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.report.blocks import run_facts
from cliptune.report.document import Column, Document, Figure, Section, Table, Tile
from cliptune.runs import RunDir
from cliptune.system.formatting import interval, percent, rate

__all__ = ["sweep_document"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "metrics.json"
_FIGURES = {
    "rates": "Validation accuracy over the rate, mean and range of the seeds.",
    "heatmap": "Validation accuracy over both rates.",
    "losses": "Training loss of one seed, a line a rate.",
}


def sweep_document(run: RunDir) -> Document:
    """Read a run of ``sweep``."""
    result = run.read_json(_SOURCE)
    advice, best = result["recommendation"]["text"], result["best"]
    figures = [
        Figure(f"figures/{name}.svg", caption, caption, wide=True)
        for name, caption in _FIGURES.items()
        if name in result["figures"]
    ]
    section = Section(
        name="sweep",
        title="Rates",
        question="Which rate trains best, and is it worth it?",
        conclusion=advice,
        numbers=result,
        blocks=(*figures, _trials_table(result)),
        notes=tuple(result["notes"]),
        seconds=result["seconds"],
    )
    return Document(
        title=f"Rates of {result['method']} on {result['data']}",
        summary=f"{result['model']}, {result['n_train']} training images, "
        f"{result['n_val']} validation images",
        answer=advice,
        answer_title="Advice",
        command="",
        tiles=() if best is None else (_best_tile(best, _axes(result)),),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _axes(result: Json) -> list[str]:
    """Return the rates that were swept, or all of a single point."""
    swept = [name for name, values in result["grid"].items() if len(values) > 1]
    return swept or list(result["grid"])


def _best_tile(best: Json, axes: list[str]) -> Tile:
    rates = ", ".join(f"{name} {rate(best[name])}" for name in axes)
    detail = f"{percent(best['val_accuracy'])} on validation, {interval(*best['interval'])}"
    return Tile("Best", rates, f"{detail}, n = {best['n']}")


def _trials_table(result: Json) -> Table:
    axes = _axes(result)
    columns = (
        *(Column(name, name, "rate") for name in axes),
        Column("seed", "seed", "integer"),
        Column("val_accuracy", "validation", "percent"),
        Column("val_loss", "validation loss", "number"),
        Column("diverged", "diverged"),
        Column("steps", "steps", "integer"),
        Column("seconds", "time", "seconds"),
    )
    rows = [
        (
            *(trial[name] for name in axes),
            trial["seed"],
            trial["val_accuracy"],
            trial["val_loss"],
            "yes" if trial["diverged"] else "",
            trial["steps"],
            trial["seconds"],
        )
        for trial in result["trials"]
    ]
    return Table("trials", "Trials", columns, tuple(rows))
