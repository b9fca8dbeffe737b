"""What should stay frozen: the rate of the backbone against that of the head.

A part of the section on rates; it runs the sweep that moves weights and keeps its trials.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cliptune.finetuning.entry import ActivationPlace
from cliptune.report import Column, Table
from cliptune.report.document import Block
from cliptune.report.heat_map import plot_heat_map
from cliptune.studies.section_context import SectionContext, slug
from cliptune.studies.study_data import EncodedData, StudyData, spread_classes
from cliptune.studies.training_plan import MOVING_BATCH
from cliptune.studies.tuning import load_trainable
from cliptune.sweeps.options import SweepOptions, read_grid
from cliptune.sweeps.report import summarise
from cliptune.sweeps.store import StudyStore
from cliptune.sweeps.tower_sweep import TowerSweep
from cliptune.system.allocator import freed_memory_kept
from cliptune.system.formatting import rate as write_rate

__all__ = ["moving_blocks", "sweep_moving"]

Json = dict[str, Any]  # Any: plain JSON values

_METHOD = "full"
_MOST_VALIDATION = 300  # every trial is scored on them


def sweep_moving(
    subject: StudyData, view: EncodedData, context: SectionContext, *, seconds: float
) -> Json:
    """Train at pairs of rates, a backbone rate of 0 among them, within a time.

    Returns:
        What ``cliptune sweep --method full`` reports, as plain JSON values.

    Raises:
        InputError: The time is below one trial; the message says what one costs.
    """
    with freed_memory_kept():
        return _sweep(subject, view, context, seconds)


def _sweep(subject: StudyData, view: EncodedData, context: SectionContext, seconds: float) -> Json:
    template_set = context.template_set(view.name)
    images = context.settings["train_images"]
    task = replace(
        subject.task(view, template_set),
        train=spread_classes(subject, subject.partition.train, images),
        val=spread_classes(subject, subject.partition.val, _MOST_VALIDATION),
    )
    options = SweepOptions(
        method=_METHOD,
        epochs=5,
        batch_size=min(MOVING_BATCH, len(task.train)),
        optimizer="adamw",
        seeds=1,
        seed=subject.seed,
    )
    known = subject.images_for(task.train, task.val)
    sweep = TowerSweep(
        load_trainable(view.name, subject.device),
        subject.table,
        task,
        read_grid(None, options),
        options,
        templates=template_set.templates,
        began=time.monotonic(),
        budget_seconds=seconds,
        activations=ActivationPlace.in_cache(view.store.cache_dir, known),
    )
    context.scratch.mkdir(parents=True, exist_ok=True)
    address = f"sqlite:///{(context.scratch / f'{slug(view.name)}-moving.sqlite3').absolute()}"
    with StudyStore.open(address, view.name, sweep.identity, images=known) as store:
        for count, _ in enumerate(sweep.worker(store).run(), start=1):
            context.progress("trainings", count, max(count, sweep.n_planned))
        trials = store.trials()
    return summarise(sweep.conclude(trials))


def moving_blocks(
    result: Mapping[str, Any], context: SectionContext, *, stem: str, suffix: str
) -> list[Block]:
    """Draw the heat map of both rates, and list the pairs."""
    heat = result["heatmap"]
    if heat is None:
        return []
    values = np.asarray(
        [[np.nan if v is None else v for v in line] for line in heat["val_accuracy"]], dtype=float
    )
    rows = ["0 (frozen)" if rate == 0 else write_rate(rate) for rate in heat["backbone"]]
    chart = context.chart(
        plot_heat_map(
            values,
            rows=rows,
            columns=[write_rate(rate) for rate in heat["head"]],
            row_label="rate of the image tower",
            column_label="rate of the head",
            percent=True,
        ),
        f"freezing{stem}",
        alt="Validation accuracy over the rates of image tower and head",
        caption=f"Validation accuracy in % over both rates{suffix}; pairs without a number were "
        "given up early.",
    )
    columns = (
        Column("backbone", "rate of the image tower", "rate"),
        Column("head", "rate of the head", "rate"),
        Column("val_accuracy", "validation", "percent"),
        Column("note", "trained for"),
        Column("diverged", "diverged", "status"),
    )
    pairs = [
        (
            backbone,
            head,
            heat["val_accuracy"][i][j],
            heat["note"][i][j],
            "diverged" if heat["diverged"][i][j] else "",
        )
        for i, backbone in enumerate(heat["backbone"])
        for j, head in enumerate(heat["head"])
        if heat["val_accuracy"][i][j] is not None
    ]
    return [chart, Table(f"freezing{stem}", f"Frozen or not{suffix}", columns, tuple(pairs))]
