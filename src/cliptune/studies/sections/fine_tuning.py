"""What training all weights does, epoch by epoch.

A plain recipe: no augmentation, one rate; what care adds is another section's question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.numpy import save_file

from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.records import AlphaPoint
from cliptune.report import Column, Table
from cliptune.report.charts import Line, plot_lines
from cliptune.studies.section_context import SectionContext, SectionResult, slug
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sections.map import held_out_rows
from cliptune.studies.sentences import is_better, is_worse
from cliptune.studies.study_data import EncodedData, StudyData
from cliptune.studies.tuning import Tuned, epoch_cell, trained_encoder, tune
from cliptune.system.atomic import atomic_path
from cliptune.system.formatting import decimal, duration, percent, points

__all__ = ["study_fine_tuning"]

SECTION = SectionSpec(
    name="fine-tuning",
    place=40,
    title="Training all weights",
    question="What does training all of the model do, epoch by epoch, and how much is trained?",
    function="study_fine_tuning",
    draws_on=("zero-shot",),
)


def study_fine_tuning(subject: StudyData, context: SectionContext) -> SectionResult:
    """Train all weights of every encoder that the plan has time for."""
    tuned: dict[str, Tuned] = {}
    changes: dict[str, Comparison] = {}
    for view in subject.views:
        if view.name not in context.settings["models"]:
            continue
        settings = context.settings["models"][view.name]
        options = FinetuneOptions(
            method="full", epochs=settings["epochs"], augment="none",
            interpolate=settings["mixtures"], seed=subject.seed,
        )  # fmt: skip
        one = tune(subject, view, options, context, settings=settings)
        before = subject.zero_shot_hits(view, context.template_set(view.name))
        tuned[view.name] = one
        changes[view.name] = compare_correct(before, one.hits, seed=subject.seed)
        _keep_trained(subject, view, one, context)
        one.clear()
    numbers = {
        "models": {
            model: {**one.to_dict(), "against_zero_shot": vars(changes[model])}
            for model, one in tuned.items()
        },
        "candidates": [one.candidate.to_dict() for one in tuned.values()],
    }
    available = len(subject.partition.train)
    conclusion = " ".join(
        _conclude(model, one, changes[model], available) for model, one in tuned.items()
    )
    return SectionResult(
        conclusion, numbers, tuple(_blocks(context, tuned)), tuple(_notes(subject, tuned))
    )


def _keep_trained(
    subject: StudyData, view: EncodedData, tuned: Tuned, context: SectionContext
) -> None:
    """Write where the trained weights, before any mixture, put validation images and texts."""
    encoder = trained_encoder(tuned, subject.device)
    rows = held_out_rows(subject, context.settings["map_images"])
    vectors = view.store.features(encoder, subject.table.select(rows)).vectors
    texts = EncodedData(view.name, encoder, view.store, subject.table, vectors).text_rows(
        context.template_set(view.name).templates
    )
    with atomic_path(context.folder / f"trained-{slug(view.name)}.safetensors") as temporary:
        save_file({"rows": rows, "images": vectors.copy(), "texts": texts.copy()}, temporary)


def _blocks(
    context: SectionContext, tuned: Mapping[str, Tuned]
) -> list[Any]:  # Any: blocks of a report
    blocks: list[Any] = []  # Any: as above
    several = len(tuned) > 1
    for model, one in tuned.items():
        suffix, stem = (f", {model}", f"-{slug(model)}") if several else ("", "")
        blocks += [
            context.chart(
                _curves(one),
                f"epochs{stem}",
                alt="Accuracy on training and validation images after every epoch",
                caption=f"Accuracy after every epoch{suffix}; epoch 0 is before training. The band "
                "is the 95 % interval of validation.",
            ),
            _epoch_table(one, f"epochs{stem}", suffix),
            _group_table(one, f"groups{stem}", suffix),
        ]
    return blocks


def _curves(tuned: Tuned) -> Any:  # Any: a chart
    epochs = [record.epoch for record in tuned.epochs]
    cells = [epoch_cell(record.val.accuracy, record.val.n) for record in tuned.epochs]
    lines = [
        Line(
            "validation",
            epochs,
            [100 * cell["value"] for cell in cells],
            [100 * cell["low"] for cell in cells],
            [100 * cell["high"] for cell in cells],
        ),
        Line("training", epochs, [100 * r.train.accuracy for r in tuned.epochs], dashed=True),
    ]
    return plot_lines(lines, x_label="epoch", y_label="accuracy in %")


def _epoch_table(tuned: Tuned, name: str, suffix: str) -> Table:
    columns = (
        Column("epoch", "epoch", "integer"),
        Column("train_accuracy", "training", "percent"),
        Column("val_accuracy", "validation", "percent"),
        Column("val_log_loss", "validation log-loss", "number"),
        Column("loss", "training loss", "number"),
        Column("seconds", "time", "seconds"),
    )
    rows = tuple(
        (
            record.epoch,
            record.train.accuracy,
            epoch_cell(record.val.accuracy, record.val.n),
            record.val.log_loss,
            record.loss,
            record.seconds,
        )
        for record in tuned.epochs
    )
    best = next(k for k, r in enumerate(tuned.epochs) if r.epoch == tuned.result.best_epoch)
    return Table(name, f"Epoch by epoch{suffix}", columns, rows, marked=best)


def _group_table(tuned: Tuned, name: str, suffix: str) -> Table:
    columns = (
        Column("group", "group"),
        Column("tensors", "tensors", "integer"),
        Column("parameters", "parameters", "integer"),
        Column("learning_rate", "rate", "rate"),
    )
    rows = tuple(
        (group["group"], group["tensors"], group["parameters"], group["learning_rate"])
        for group in tuned.plan.groups
    )
    total = tuned.candidate.parameters
    note = f"{total:,} parameters train, by the {tuned.plan.loss} loss, {tuned.plan.batch_size} "
    return Table(name, f"What trains{suffix}", columns, rows, note=f"{note}images a step.", shown=6)


def _notes(subject: StudyData, tuned: Mapping[str, Tuned]) -> list[str]:
    notes = []
    available = len(subject.partition.train)
    for model, one in tuned.items():
        first = one.epochs[0]
        if one.candidate.n_train < available:
            notes.append(
                f"{model} learned from {one.candidate.n_train:,} of {available:,} training images, "
                "which is what the budget allowed."
            )
        if first.val.n < len(subject.partition.val):
            notes.append(
                f"Epochs of {model} are scored on {first.val.n:,} validation images, the result on "
                f"all {len(subject.partition.val):,}."
            )
    left_out = [view.name for view in subject.views if view.name not in tuned]
    notes += [f"The budget left no time to train {model}." for model in left_out]
    return notes


def _conclude(model: str, tuned: Tuned, change: Comparison, available: int) -> str:
    n_epochs, n_train = tuned.epochs[-1].epoch, tuned.candidate.n_train
    fewer = "" if n_train == available else f" on {n_train:,} of {available:,} images"
    lead = (
        f"Training all {tuned.candidate.parameters:,} weights of {model} for {n_epochs} "
        f"epoch{'s' if n_epochs > 1 else ''}{fewer} took {duration(tuned.candidate.seconds)} and"
    )
    if is_better(change):
        lead += f" is better than zero-shot: {points(change)}."
    elif is_worse(change):
        lead += f" is worse than zero-shot: {points(change)}."
    else:
        lead += f" is not measurably different from zero-shot: {points(change)}."
    return " ".join([lead, *_mixture(tuned), *_fit(tuned)])


def _mixture(tuned: Tuned) -> list[str]:
    if tuned.interpolation is None:
        return []
    alpha = tuned.interpolation.alpha
    plain = next(p for p in tuned.interpolation.curve if p.alpha == 1.0)
    chosen = next(p for p in tuned.interpolation.curve if p.alpha == alpha)
    if alpha == 0:
        return ["Of all mixtures with the starting weights validation prefers the start itself."]
    if alpha == 1:
        return ["Mixing in the starting weights does not help."]
    return [
        f"Of all mixtures with the starting weights validation prefers {percent(alpha)} trained: "
        f"{_share(chosen)} against {_share(plain)} of the trained weights alone."
    ]


def _share(point: AlphaPoint) -> str:
    return f"{percent(point.val.accuracy)} (log-loss {decimal(point.val.log_loss)})"


def _fit(tuned: Tuned) -> list[str]:
    """Say whether it overfits: training above the interval of validation at the end."""
    last = tuned.epochs[-1]
    high = epoch_cell(last.val.accuracy, last.val.n)["high"]
    sentences = []
    if last.train.accuracy > high:
        sentences.append(
            f"It overfits: {percent(last.train.accuracy)} on training images against "
            f"{percent(last.val.accuracy)} on validation after the last epoch."
        )
    if tuned.result.best_epoch == 0:
        sentences.append("Validation was best before training, and those weights are kept.")
    elif tuned.result.best_epoch < last.epoch:
        sentences.append(f"Validation was best after epoch {tuned.result.best_epoch}.")
    else:
        sentences.append("Validation was best after the last epoch: more epochs may still help.")
    return sentences
