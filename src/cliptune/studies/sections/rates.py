"""Which learning rates work for layers on the frozen model, and what to freeze.

It runs the sweeps of ``cliptune.sweeps`` and keeps their trials.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cliptune.errors import InputError
from cliptune.report import Column, Table
from cliptune.report.charts import Line, plot_lines
from cliptune.studies.section_context import SectionContext, SectionResult, slug
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sections.finetune_sweep import moving_blocks, sweep_moving
from cliptune.studies.sentences import join_words
from cliptune.studies.study_data import EncodedData, StudyData, spread_classes
from cliptune.sweeps.head_sweep import HeadSweep
from cliptune.sweeps.options import SweepOptions, read_grid
from cliptune.sweeps.report import summarise
from cliptune.sweeps.store import StudyStore
from cliptune.system.formatting import rate as write_rate

__all__ = ["study_rates"]

SECTION = SectionSpec(
    name="rates",
    place=60,
    title="Rates and freezing",
    question="Which learning rates work, and what should stay frozen?",
    function="study_rates",
    draws_on=("zero-shot",),
    rank=70,
    seconds=5.0,
)

_METHOD = "dual-linear"
_COMPETING = ("grid", "extension")


def study_rates(subject: StudyData, context: SectionContext) -> SectionResult:
    """Sweep the rates of the two added layers on every encoder."""
    found: dict[str, dict[str, Any]] = {}  # Any: plain JSON values
    sentences: list[str] = []
    blocks: list[Any] = []  # Any: blocks of a report
    left_out: list[str] = []
    several = len(subject.views) > 1
    for view in subject.views:
        result = _sweep(subject, view, context)
        found[view.name] = result
        lead = f"On {view.name}: " if several else ""
        sentences.append(lead + str(result["recommendation"]["text"]))
        stem, suffix = (f"-{slug(view.name)}", f", {view.name}") if several else ("", "")
        blocks.append(
            context.chart(
                _curves(result),
                f"rates{stem}",
                alt="Validation accuracy against the learning rate",
                caption=f"Validation accuracy of {_METHOD} against its learning rate{suffix}; the "
                "band spans the seeds, the dashed line is the model before training.",
            )
        )
        if not result["complete"]:
            left_out.append(
                f"The time ended before all trainings{suffix} were done: what is said of rates "
                f"rests on {len(result['trials'])} of them."
            )
        blocks.append(_table(result, f"rates{stem}", suffix))
        if view.name in context.settings["moving_seconds"]:
            try:
                seconds = context.settings["moving_seconds"][view.name]
                moving = sweep_moving(subject, view, context, seconds=seconds)
            except InputError as error:
                left_out.append(f"What to freeze was not swept{suffix}: {error}")
                continue
            found[view.name] = {**result, "moving": moving}
            sentences.append(f"{lead}{moving['recommendation']['text']}")
            blocks += moving_blocks(moving, context, stem=stem, suffix=suffix)
        elif reason := context.settings.get("not_moving"):
            left_out.append(f"What to freeze was not swept{suffix}: {reason}.")
    n_seeds = len({trial["seed"] for result in found.values() for trial in result["trials"]})
    n_train = min(len(subject.partition.train), context.settings["train_images"])
    notes = (
        f"Added layers ({_METHOD}) on the frozen model learn from {n_train:,} images and are "
        f"compared on {len(subject.partition.val):,} validation images; seeds of each rate: "
        f"{n_seeds}.",
        *left_out,
    )
    return SectionResult(" ".join(sentences), {"models": found}, tuple(blocks), notes)


def _sweep(
    subject: StudyData, view: EncodedData, context: SectionContext
) -> dict[str, Any]:  # Any: plain JSON values
    train = spread_classes(subject, subject.partition.train, context.settings["train_images"])
    task = replace(subject.task(view, context.template_set(view.name)), train=train)
    options = SweepOptions(method=_METHOD, seed=subject.seed)
    sweep = HeadSweep(
        task,
        read_grid(None, options),
        options,
        began=time.monotonic(),
        budget_seconds=context.settings["seconds"] / len(subject.views),
    )
    # The section's key holds what shapes its trials, so a store in its scratch is its own.
    images = subject.images_for(task.train, task.val)
    context.scratch.mkdir(parents=True, exist_ok=True)
    address = f"sqlite:///{(context.scratch / f'{slug(view.name)}.sqlite3').absolute()}"
    with StudyStore.open(address, view.name, sweep.identity, images=images) as store:
        worker = sweep.worker(store)
        for count, _ in enumerate(worker.run(), start=1):
            context.progress("trials", count, max(count, sweep.n_planned))
        trials = store.trials()
    return {**summarise(sweep.conclude(trials)), "complete": not worker.out_of_time}


def _curves(result: Mapping[str, Any]) -> Any:  # Any: plain JSON values; a chart
    """One line a weight decay: mean over seeds, and their range."""
    points = _points(result)
    lines = []
    for decay in sorted({wd for _, wd in points}):
        rates = sorted(lr for lr, wd in points if wd == decay)
        scores = [100 * np.asarray([t["val_accuracy"] for t in points[lr, decay]]) for lr in rates]
        lines.append(
            Line(
                f"weight decay {write_rate(decay)}",
                rates,
                [float(s.mean()) for s in scores],
                [float(s.min()) for s in scores],
                [float(s.max()) for s in scores],
            )
        )
    every = sorted({lr for lr, _ in points})
    start = 100 * result["before_training"]["val_accuracy"]
    ends = [every[0], every[-1]]
    lines.append(Line("before training", ends, [start, start], dashed=True))
    return plot_lines(
        lines, x_label="learning rate, logarithmic", y_label="accuracy in %", logarithmic=True
    )


def _points(
    result: Mapping[str, Any],
) -> dict[tuple[float, float], list[Mapping[str, Any]]]:  # Any: plain JSON values
    points: dict[tuple[float, float], list[Mapping[str, Any]]] = {}  # Any: as above
    for trial in result["trials"]:
        if trial["purpose"] in _COMPETING:
            points.setdefault((trial["lr"], trial.get("wd", 0.0)), []).append(trial)
    return points


def _table(result: Mapping[str, Any], name: str, suffix: str) -> Table:  # Any: plain JSON values
    columns = (
        Column("lr", "rate", "rate"),
        Column("wd", "weight decay", "rate"),
        Column("mean", "mean of the seeds", "percent"),
        Column("lowest", "lowest", "percent"),
        Column("highest", "highest", "percent"),
        Column("diverged", "diverged", "integer"),
        Column("verdict", "against the best"),
    )
    noise = result["within_noise"]
    as_good = {(p["lr"], p.get("wd", 0.0)) for p in noise["points"]} if noise else set()
    best = result["best"]
    rows: list[tuple[Any, ...]] = []  # Any: cells
    marked: int | None = None
    for point, trials in sorted(_points(result).items()):
        scores = [trial["val_accuracy"] for trial in trials]
        is_best = best is not None and point == (best["lr"], best.get("wd", 0.0))
        if is_best:
            marked = len(rows)
        verdict = "the best" if is_best else "within noise" if point in as_good else "worse"
        rows.append(
            (*point, sum(scores) / len(scores), min(scores), max(scores),
             sum(t["diverged"] for t in trials), verdict)
        )  # fmt: skip
    note = ""
    if noise:
        note = f"Within noise of the best: {join_words([write_rate(v) for v in noise['values']])}."
    return Table(name, f"Rates{suffix}", columns, tuple(rows), note=note, marked=marked, shown=30)
