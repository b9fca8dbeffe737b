"""One run that trains the encoder itself, and what it leaves on disk.

It knows weights, heads and files, and nothing about how options are read or results shown.
After training, the encoder that was chosen on validation rejoins at the features: its rows, its
class texts as a zero-shot head, or the linear head that trained with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.fitting import Fitted, calibrate_head, score_fitted
from cliptune.classifiers.head_data import HeadData
from cliptune.evaluation.confusion import write_class_scores
from cliptune.evaluation.metrics import Metrics, wilson_interval
from cliptune.evaluation.significance import compare_correct
from cliptune.evaluation.zero_shot import write_misclassified, write_predictions
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.records import HeadRecord, TrainingOutcome, TrainingPlan
from cliptune.heads import Head
from cliptune.heads.linear import LinearHead
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.images import ImageTable
from cliptune.prompts import TemplateSet
from cliptune.results.model_card import render_model_card
from cliptune.runs import CHECKPOINT, RunDir
from cliptune.splits.partition import Partition
from cliptune.system.usage import Usage
from cliptune.workflows.run_views import write_label_errors, write_partition

__all__ = ["FinetuneSettings", "Start", "Trained", "finish_finetune"]

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class FinetuneSettings:
    """What the user asked for.

    Attributes:
        data: The data set, as it was named.
        model: The encoder to start from, as it was named.
        template_set: How class names became texts.
        val_fraction: Share of training images cut for validation.
        options: Of the training.
        watch: Data that are only looked at, as they were named.
        abstain_precision: Wanted precision of answers, or None.
    """

    data: str
    model: str
    template_set: TemplateSet
    val_fraction: float
    options: FinetuneOptions
    watch: tuple[str, ...]
    abstain_precision: float | None

    def to_dict(self) -> Json:
        """Return what the run records of it; a resumed run must have the same."""
        texts = list(self.template_set.templates)
        options = asdict(self.options)
        return {
            "command": "fit",
            "data": self.data,
            "model": self.model,
            "method": options.pop("method"),
            "templates": {"name": self.template_set.name, "texts": texts},
            "val_fraction": self.val_fraction,
            "seed": options.pop("seed"),
            "watch": list(self.watch),
            "abstain_precision": self.abstain_precision,
            "options": options,
        }


@dataclass(frozen=True)
class Start:
    """The data set and what the encoder made of it before training.

    Attributes:
        table: All images.
        partition: Who may see which image.
        task: Rows of all images and of the class texts.
        zero_shot: The class texts as a head, calibrated.
    """

    table: ImageTable
    partition: Partition
    task: HeadData
    zero_shot: Fitted


@dataclass(frozen=True)
class Trained:
    """What the training reported.

    Attributes:
        plan: Groups, rates, sizes.
        head: The first fit of the head of ``head-then-full``, else nothing.
        result: Epochs, mixture, weights chosen.
        checks: What was looked at before, as plain JSON values.
    """

    plan: TrainingPlan
    head: HeadRecord | None
    result: TrainingOutcome
    checks: Sequence[Mapping[str, Any]] = ()

    @property
    def n_parameters(self) -> int:
        """Parameters that trained at any time."""
        groups = [group for group in self.plan.groups if group["start_epoch"] is not None]
        return sum(int(group["parameters"] or 0) for group in groups)

    @property
    def seconds(self) -> float:
        """Time of all epochs, those of an interrupted run included."""
        return sum(record.seconds for record in self.result.epochs)


def finish_finetune(
    run: RunDir,
    settings: FinetuneSettings,
    start: Start,
    trained: Trained,
    *,
    task: HeadData,
    features_key: str,
    encoder: EncoderRecord,
    computing: Mapping[str, Any],  # Any: plain JSON values
) -> Json:
    """Calibrate the trained encoder, open the test, and fill the run directory.

    Args:
        run: Holds the encoder's weights already.
        settings: What was asked for.
        start: Data set and zero-shot.
        trained: What the training reported.
        task: Rows of all images and class texts by the trained encoder.
        features_key: Digest of all that made these rows.
        encoder: The trained encoder.
        computing: Which engine made the rows and how many were checked.

    Returns:
        What is reported, as plain JSON values.
    """
    fitted = _rejoin(task, settings, trained)
    rows = start.partition.test.open()
    answers = {
        "zero-shot": score_fitted(start.task, start.zero_shot, rows),
        fitted.name: score_fitted(task, fitted, rows),
    }
    scores = {name: metrics for name, (metrics, _) in answers.items()}
    probabilities = {name: answer for name, (_, answer) in answers.items()}
    right = [p.argmax(axis=1) == task.labels[rows] for p in probabilities.values()]
    result = {
        "task": "fit",
        **settings.to_dict(),
        **_describe(fitted, trained, scores),
        "against_zero_shot": vars(compare_correct(*right, seed=task.seed)),
        **computing,
        "class_names": list(task.class_names),
        "n_train": len(task.train),
        "notes": list(start.partition.notes),
        "data_digest": start.table.digest(),
        "features_key": features_key,
        "run": str(run.path),
    }
    _write_classifier(run, fitted, start, settings, encoder)
    write_predictions(run, start.table.select(rows), probabilities)
    write_misclassified(run, start.table.select(rows), probabilities[fitted.name])
    write_class_scores(run, scores[fitted.name])
    write_partition(run, start.table, start.partition, rows)
    result["label_errors"] = write_label_errors(run, start.task, start.table)
    run.write_text("model_card.md", render_model_card(result))
    run.write_json("metrics.json", result)
    facts = {key: result[key] for key in ("seed", "data_digest", "features_key")}
    run.finish({**facts, **computing, "encoder": vars(encoder)})
    shutil.rmtree(run.path / CHECKPOINT, ignore_errors=True)
    return result


def _rejoin(task: HeadData, settings: FinetuneSettings, trained: Trained) -> Fitted:
    with Usage() as usage:
        head = _make_head(task, trained)
    fitted = calibrate_head(
        task,
        head,
        name=settings.options.method,
        abstain_precision=settings.abstain_precision,
        usage=usage,
    )
    return replace(fitted, seconds=trained.seconds, peak_bytes=None)


def _make_head(task: HeadData, trained: Trained) -> Head:
    arrays = trained.result.head
    if arrays is None:
        return ZeroShotHead().fit(text_rows=task.text_rows, logit_scale=task.logit_scale)
    weight, bias = arrays
    l2 = trained.head.l2 if trained.head is not None else None
    penalty = np.full(len(weight), l2 or 0.0)  # of its first fit; then it trained without one
    return LinearHead.from_state({}, {"weight": weight, "bias": bias, "penalty": penalty})


def _describe(fitted: Fitted, trained: Trained, scores: Mapping[str, Metrics]) -> Json:
    """Return scores and history; ``scores`` holds zero-shot's and the method's on the test."""
    result, plan = trained.result, trained.plan
    mixed = result.interpolation
    return {
        **fitted.to_dict(),
        "zero_shot": scores["zero-shot"].summary(),
        "test": scores[fitted.name].to_dict(),
        "epochs": [with_intervals(record.to_dict()) for record in result.epochs],
        "best_epoch": result.best_epoch,
        "stopped_early": result.stopped_early,
        "interpolation": None if mixed is None else with_intervals(mixed.to_dict()),
        "watched": _watched(result),
        "head": None if trained.head is None else with_intervals(asdict(trained.head)),
        "merge_error": result.merge_error,
        "trained_parameters": trained.n_parameters,
        "groups": [dict(group) for group in plan.groups],
        "loss": plan.loss,
        "training_precision": plan.precision,
        "batch_size": plan.batch_size,
        "steps_an_epoch": plan.steps_an_epoch,
        "n_processes": plan.n_processes,
        "checks": [dict(check) for check in trained.checks],
    }


def _watched(result: TrainingOutcome) -> Json:
    """Return, by name, zero-shot scores on watched data before training and of the outcome."""
    before = result.epochs[0].watch
    after = result.epochs[result.best_epoch].watch
    if result.interpolation is not None:
        alpha = result.interpolation.alpha
        after = next(p.watch for p in result.interpolation.curve if p.alpha == alpha)
    return {
        name: with_intervals({"before": asdict(before[name]), "after": asdict(after[name])})
        for name in before
    }


def with_intervals(value: Any) -> Any:  # Any: plain JSON values, in and out
    """Add the 95 % interval to every object that holds an accuracy and its n."""
    if isinstance(value, Mapping):
        found = {key: with_intervals(entry) for key, entry in value.items()}
        if "accuracy" in found and "n" in found:
            n = int(found["n"])
            found["interval"] = list(wilson_interval(round(found["accuracy"] * n), n))
        return found
    if isinstance(value, list | tuple):
        return [with_intervals(entry) for entry in value]
    return value


def _write_classifier(
    run: RunDir, fitted: Fitted, start: Start, settings: FinetuneSettings, encoder: EncoderRecord
) -> None:
    CalibratedHead(
        head=fitted.head,
        class_names=start.table.class_names,
        templates=tuple(settings.template_set.templates),
        encoder=encoder,
        temperature=fitted.temperature,
        threshold=fitted.threshold,
    ).save(run)
