"""What ``sweep`` gives: every training, the best rates, the band within noise, the advice.

It knows nothing about how trials come about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cliptune.features.guard import RowsChecked
from cliptune.results.base import Result, Templates
from cliptune.results.plain import ABSENT
from cliptune.system.formatting import duration, interval, percent, rate
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["SweepResult", "describe_best"]

Json = Mapping[str, Any]  # Any: plain JSON values; its keys are the rates that were swept

_RATES = ("lr", "wd", "penalty", "backbone", "head")


@dataclass(frozen=True, kw_only=True)
class SweepResult(Result):
    """A sweep of rates on one data set, judged on validation.

    Attributes:
        command: ``sweep``.
        data: The data set, as it was named.
        model: The encoder.
        precision: What it computed in.
        templates: The texts that class names were put into.
        method: What trained.
        grid: Values by rate.
        search: ``grid`` or ``tpe``.
        budget_seconds: None without one.
        train_images: So many were drawn; None for all.
        val_fraction: Share of the training images cut for validation.
        options: What all trials share.
        seed: First of the seeds.
        study: Name and address of where trials are kept.
        n_trained_here: Trials of this call.
        complete: Whether all were done.
        interrupted: Whether someone ended it.
        notes: What was done, one sentence each.
        class_names: C names.
        n_train: Training images.
        n_val: Validation images.
        data_digest: Of the images.
        encoder: Fingerprint of the encoder.
        seconds: All of it.
        engine: What ran the encoder.
        rows_checked: Rows that were computed twice.
        trials: One a training: its rates, and how it went.
        best: The best rates, None where every trial diverged.
        within_noise: Which rates cannot be told from the best.
        recommendation: Rates, and the advice as ``text``.
        before_training: Scores of the model as it is.
        heatmap: Accuracy over two rates, where there are two.
        n_diverged: Trials that diverged.
        figures: Files by figure and kind.
        run: The folder with tables and figures.
    """

    command: str
    data: str
    model: str
    precision: str
    templates: Templates
    method: str
    grid: Mapping[str, tuple[float, ...]]
    search: str
    budget_seconds: float | None
    train_images: int | None
    val_fraction: float
    options: Json
    seed: int
    study: Mapping[str, str]
    n_trained_here: int
    complete: bool
    interrupted: bool
    notes: tuple[str, ...]
    class_names: tuple[str, ...]
    n_train: int
    n_val: int
    data_digest: str
    encoder: str
    seconds: float
    engine: str
    rows_checked: RowsChecked
    trials: tuple[Json, ...]
    best: Json | None
    within_noise: Json | None
    recommendation: Json
    before_training: Json
    heatmap: Json | None
    n_diverged: int
    figures: Mapping[str, Mapping[str, str]]
    run: str | None = field(default=None, metadata=ABSENT)

    def blocks(self) -> tuple[Shown, ...]:
        """Return every rate, the best one, the advice, and where the rest is."""
        rates = [name for name, values in self.grid.items() if len(values) > 1]
        title = (
            f"{self.data}: {self.n_train} training, {self.n_val} validation images; "
            f"{self.method} on {self.model}"
        )
        return (
            TextTable.of(
                title,
                (*rates, "seeds", "validation", "of them diverged", "time"),
                self._rows(rates),
            ),
            *((f"Best: {describe_best(self.best)}",) if self.best is not None else ()),
            str(self.recommendation["text"]),
            f"Tables and figures: {self.run}",
        )

    def _rows(self, rates: list[str]) -> list[tuple[str, ...]]:
        by_point: dict[tuple[float, ...], list[Json]] = {}
        for trial in self.trials:
            if trial["purpose"] in ("grid", "extension"):
                by_point.setdefault(tuple(trial[name] for name in rates), []).append(trial)
        return [
            (
                *(rate(value) for value in point),
                str(len(own)),
                percent(sum(t["val_accuracy"] for t in own) / len(own)),
                str(sum(t["diverged"] for t in own)),
                duration(sum(t["seconds"] for t in own)),
            )
            for point, own in sorted(by_point.items())
        ]


def describe_best(best: Json) -> str:
    """Say which rates are best, and how sure that is."""
    rates = ", ".join(f"{name} {rate(value)}" for name, value in best.items() if name in _RATES)
    return (
        f"{rates}: {percent(best['val_accuracy'])} on {best['n']} validation images "
        f"(95 % interval {interval(*best['interval'])}, {len(best['seeds'])} seeds)"
    )
