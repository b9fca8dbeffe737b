"""Fine-tuning within a study: train, keep the result as a classifier, score it on validation.

It knows the loop of ``cliptune.finetuning`` and files, and nothing about conclusions.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.classifiers.run_encoder import save_run_encoder
from cliptune.encoders import load_encoder
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import DataError
from cliptune.evaluation.calibration import apply_temperature, fit_temperature
from cliptune.evaluation.metrics import Metrics, compute_metrics, wilson_interval
from cliptune.finetuning.checkpoints import has_state, load_best
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.entry import ActivationPlace
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.records import (
    EpochRecord,
    HeadRecord,
    Interpolation,
    StepRecord,
    TrainingOutcome,
    TrainingPlan,
)
from cliptune.heads import Head
from cliptune.heads.linear import LinearHead
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.prompts import TemplateSet, ensemble_rows
from cliptune.runs import RunDir
from cliptune.studies.candidates import Candidate, fit_command
from cliptune.studies.section_context import SectionContext, slug
from cliptune.studies.sentences import score_cell
from cliptune.studies.study_data import EncodedData, StudyData, spread_classes
from cliptune.system.usage import Usage

__all__ = ["Tuned", "epoch_cell", "load_trainable", "trained_encoder", "tune"]


@dataclass(frozen=True)
class Tuned:
    """A fine-tuning run, finished and kept.

    Attributes:
        plan: Groups, sizes, loss.
        epochs: The per-epoch table, epoch 0 first.
        interpolation: The mixture with the starting weights that validation chose.
        head: Record of the head's fit, with ``head-then-full``.
        result: How it ended.
        candidate: Where it is kept.
        val: Scores on all validation images.
        hits: bool (V,), which of them are right.
        encoder: It holds the chosen weights.
        scratch: Folder of the checkpoints, the best epoch's weights among them.
    """

    plan: TrainingPlan
    epochs: tuple[EpochRecord, ...]
    interpolation: Interpolation | None
    head: HeadRecord | None
    result: TrainingOutcome
    candidate: Candidate
    val: Metrics
    hits: NDArray[np.bool_]
    encoder: TorchEncoder
    scratch: Path

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything but arrays and weights as plain JSON values."""
        return {
            "plan": {**asdict(self.plan), "groups": [dict(g) for g in self.plan.groups]},
            "epochs": [record.to_dict() for record in self.epochs],
            "best_epoch": self.result.best_epoch,
            "interpolation": self.interpolation.to_dict() if self.interpolation else None,
            "head": asdict(self.head) if self.head else None,
            "val": score_cell(self.val),
            "val_scores": self.val.summary(),
            "n_train": self.candidate.n_train,
            "parameters": self.candidate.parameters,
            "seconds": self.candidate.seconds,
        }

    def clear(self) -> None:
        """Remove the checkpoints; the result is kept elsewhere."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def tune(
    subject: StudyData,
    view: EncodedData,
    options: FinetuneOptions,
    context: SectionContext,
    *,
    settings: Mapping[str, int | bool],
) -> Tuned:
    """Fine-tune one encoder and keep the result as a run.

    Killed and started again it goes on from its last checkpoint.

    Args:
        subject: The data.
        view: The encoder to start from.
        options: How.
        context: Of the section; the run goes into its folder.
        settings: ``train_images`` to learn from, ``val_images`` to choose the epoch and the
            mixture by.

    Raises:
        DataError: The encoder cannot be trained here.
    """
    template_set = context.template_set(view.name)
    encoder = load_trainable(view.name, subject.device)
    train = spread_classes(subject, subject.partition.train, settings["train_images"])
    val = spread_classes(subject, subject.partition.val, settings["val_images"])
    images = subject.images_for(train, val)
    data = TrainingData(
        subject.table.select(train), subject.table.select(val), template_set.templates, images
    )
    activations = ActivationPlace.in_cache(view.store.cache_dir, images)
    scratch = context.scratch / f"{slug(view.name)}-{options.method}"
    found: dict[type, Any] = {}  # Any: one event of each type
    epochs: list[EpochRecord] = []
    with Usage() as usage:
        for event in finetune(
            encoder, data, options, folder=scratch, resume=has_state(scratch),
            activations=activations,
        ):  # fmt: skip
            if isinstance(event, StepRecord):
                context.progress("steps", event.step, event.n_steps)
            elif isinstance(event, EpochRecord):
                epochs.append(event)
            else:
                found[type(event)] = event
    result: TrainingOutcome = found[TrainingOutcome]
    tuned = encoder.rewrapped(device=subject.device, precision="fp32")
    seconds = max(usage.seconds, sum(record.seconds for record in epochs))
    plan: TrainingPlan = found[TrainingPlan]
    kept = _keep(subject, view, tuned, result, context, template_set, options.method)
    return Tuned(
        plan=plan,
        epochs=tuple(epochs),
        interpolation=found.get(Interpolation),
        head=found.get(HeadRecord),
        result=result,
        candidate=Candidate(
            model=view.name,
            method=options.method,
            run=kept.run,
            command=_command(subject, view, options, template_set),
            accuracy=score_cell(kept.val),
            parameters=_n_trained(plan),
            seconds=seconds,
            n_train=len(train),
            n_held_out=kept.val.accuracy.n,
            own_encoder=True,
        ),
        val=kept.val,
        hits=kept.hits,
        encoder=tuned,
        scratch=scratch,
    )


def load_trainable(name: str, device: str) -> TorchEncoder:
    """Load an encoder a second time, in fp32, so that the first keeps its weights.

    Raises:
        DataError: It is no torch model.
    """
    encoder = load_encoder(name, device=device, precision="fp32")
    if not isinstance(encoder, TorchEncoder):
        raise DataError(f"{name!r} is no torch model, so its weights cannot be trained")
    return encoder


def trained_encoder(tuned: Tuned, device: str) -> TorchEncoder:
    """Return the encoder with the best epoch's weights as trained, before any mixture.

    The chosen weights in ``tuned.encoder`` are overwritten; they are in its run.
    """
    weights = load_best(tuned.scratch, _best_trained(tuned.epochs))
    own = {
        name.removeprefix("model."): tensor
        for name, tensor in weights.items()
        if name.startswith("model.")
    }
    tuned.encoder.model.load_state_dict(own, strict=False)  # what did not train stays
    return tuned.encoder.rewrapped(device=device, precision="fp32")


def _best_trained(epochs: Sequence[EpochRecord]) -> int:
    """Return the trained epoch whose weights the checkpoints hold, even if the start is better."""
    best = epochs[1]
    for record in epochs[2:]:
        if record.val.is_better_than(best.val):
            best = record
    return best.epoch


def epoch_cell(accuracy: float, n: int) -> dict[str, float]:
    """Return an accuracy on n images as a table's cell, with its Wilson interval."""
    low, high = wilson_interval(round(accuracy * n), n)
    return {"value": accuracy, "low": low, "high": high}


@dataclass(frozen=True)
class _Kept:
    run: str
    val: Metrics
    hits: NDArray[np.bool_]


def _keep(
    subject: StudyData,
    view: EncodedData,
    encoder: TorchEncoder,
    result: TrainingOutcome,
    context: SectionContext,
    template_set: TemplateSet,
    method: str,
) -> _Kept:
    """Calibrate on validation, and write encoder and classifier as a run."""
    table = subject.table.select(subject.partition.val)
    X = view.store.features(
        encoder, table, progress=lambda p: context.progress("validation images", p.done, p.total)
    ).vectors
    head = _head(result, encoder, subject, template_set)
    logits = head.predict_logits(X)
    temperature = fit_temperature(logits, table.labels)
    probabilities = apply_temperature(logits, temperature)
    name = f"{slug(view.name)}-{method}"
    config = {"model": view.name, "method": method, "templates": template_set.name}
    run = RunDir.create(context.folder / name, {"command": "study", **config})
    record = save_run_encoder(run, encoder)
    CalibratedHead(
        head=head,
        class_names=subject.table.class_names,
        templates=template_set.templates,
        encoder=record,
        temperature=temperature,
    ).save(run)
    run.finish({"seed": subject.seed, "encoder": asdict(record)})
    metrics = compute_metrics(
        table.labels, probabilities, class_names=table.class_names, seed=subject.seed
    )
    return _Kept(context.file(name), metrics, probabilities.argmax(axis=1) == table.labels)


def _head(
    result: TrainingOutcome, encoder: TorchEncoder, subject: StudyData, template_set: TemplateSet
) -> Head:
    if result.head is not None:
        weight, bias = result.head
        state = {"weight": weight, "bias": bias, "penalty": np.zeros(len(bias))}
        return LinearHead.from_state({}, state)
    rows = ensemble_rows(encoder.encode_texts, subject.table.class_names, template_set.templates)
    return ZeroShotHead().fit(None, None, text_rows=rows, logit_scale=encoder.logit_scale)


def _n_trained(plan: TrainingPlan) -> int:
    return sum(int(g["parameters"] or 0) for g in plan.groups if g["start_epoch"] is not None)


def _command(
    subject: StudyData, view: EncodedData, options: FinetuneOptions, template_set: TemplateSet
) -> str:
    base = fit_command(subject, view, options.method, template_set.name)
    return f"{base} --epochs {options.epochs} --augment {options.augment}"
