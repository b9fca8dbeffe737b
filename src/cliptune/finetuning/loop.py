"""Fine-tuning from epoch 0 to the chosen weights, one event after the other.

It knows nothing about command lines, reports or test images. Everything random follows from
seed, epoch and row, so a checkpoint is weights, moments and a place in the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import InputError, RunError
from cliptune.finetuning.checkpoints import SavedState, has_state, load_state
from cliptune.finetuning.data import TrainingData, WatchData
from cliptune.finetuning.entry import ActivationPlace
from cliptune.finetuning.finish import finish
from cliptune.finetuning.groups import describe_plans
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.progress import Progress
from cliptune.finetuning.records import (
    BlocksRecord,
    EpochRecord,
    Event,
    StepRecord,
    TrainingPlan,
)
from cliptune.finetuning.schedule import set_rates, set_trainable
from cliptune.finetuning.session import Session
from cliptune.finetuning.setup import open_session
from cliptune.finetuning.step import NonFiniteError, StepInput, compute_gradients, update
from cliptune.finetuning.validation import measure_epoch, measure_start

__all__ = ["finetune"]


def finetune(
    encoder: TorchEncoder,
    data: TrainingData,
    options: FinetuneOptions,
    *,
    folder: Path | None = None,
    resume: bool = False,
    watch: Mapping[str, WatchData] | None = None,
    trackers: Sequence[str] = (),
    log_folder: Path | None = None,
    activations: ActivationPlace | None = None,
) -> Iterator[Event]:
    """Fine-tune an encoder's module in place.

    Args:
        encoder: In fp32; after the last event its module holds the chosen weights, and a new
            ``TorchEncoder`` must be made of it (its fingerprint is another).
        data: Images to learn from and to choose by.
        options: How.
        folder: Where checkpoints go, with ``data.identity``; nothing writes none.
        resume: Take up the run whose checkpoint is in ``folder``.
        watch: Data that is only looked at, by name.
        trackers: Some of ``TRACKERS``.
        log_folder: Where trackers that write files put them.
        activations: Where the output of blocks that never train is kept, so that every epoch but
            the first of a view begins behind them; None: nowhere, they run every time.

    Yields:
        ``TrainingPlan``; ``EpochRecord`` of epoch 0; ``HeadRecord`` with ``head-then-full``;
        ``BlocksRecord``, ``StepRecord`` and ``EpochRecord`` of each epoch; ``Interpolation``;
        ``TrainingOutcome``.

    Raises:
        InputError: The options contradict each other, the model or the data.
        DataError: Images lack labels or cannot be read.
        RunError: There is nothing to resume, or it was begun with other data or options.
        NonFiniteError: A loss or gradient is not finite; a checkpoint holds what was before.
        UnavailableError: A checkpoint cannot be written; the one before is whole.
    """
    if folder is not None and data.identity is None:
        raise InputError(
            "checkpoints were asked for without saying which images the run rests on; give "
            "TrainingData an identity"
        )
    saved = _find_state(folder, resume=resume)
    with open_session(
        encoder,
        data,
        _with_saved_sizes(options, saved),
        watch=watch or {},
        trackers=trackers,
        folder=log_folder,
        activations=activations,
    ) as session:
        progress = Progress(session, folder)
        if saved is not None:
            progress.restore(saved)
        yield _plan(session, progress)
        yield from _run(session, progress)


def _run(session: Session, progress: Progress) -> Iterator[Event]:
    if not progress.records:
        record, progress.head = measure_start(session)
        progress.records.append(record)
        progress.save()
    yield progress.records[0]
    if progress.head is not None:
        yield progress.head
    yield from progress.records[1:]
    while not progress.is_over:
        yield from _train_epoch(session, progress)
        record = measure_epoch(
            session,
            progress.epoch + 1,
            loss=float(np.mean(progress.losses)),
            learning_rates={g["name"]: g["lr"] for g in session.optimizer.param_groups},
            seconds_before=progress.epoch_seconds,
        )
        progress.add_epoch(record)
        session.processes.log(_numbers(record), step=progress.step)
        yield record
    assert progress.best_epoch is not None, "there is at least one epoch"
    yield from finish(
        session,
        progress.records,
        progress.best_weights(),
        best_epoch=progress.best_epoch,
        stopped_early=progress.epoch < session.options.epochs,
    )


def _train_epoch(session: Session, progress: Progress) -> Iterator[BlocksRecord | StepRecord]:
    set_trainable(session.plans, progress.epoch)
    for done, total in session.source.fill(progress.epoch):
        yield BlocksRecord(done, total)
    steps = session.source.steps(
        progress.epoch,
        skip=progress.batch,
        image_trains=session.tower_trains("image"),
        text_trains=session.tower_trains("text"),
    )
    began = time.perf_counter()
    for n_images, step in steps:
        rates = set_rates(
            session.optimizer,
            progress.step,
            n_steps=session.n_steps,
            steps_a_epoch=session.steps_an_epoch,
            warmup=session.options.optimizer.warmup,
        )
        loss, norm = _take_step(session, progress, step)
        seconds = time.perf_counter() - began
        progress.add_step(loss, seconds)
        record = StepRecord(
            step=progress.step,
            n_steps=session.n_steps,
            epoch=progress.epoch + 1,
            loss=loss,
            gradient_norm=norm,
            learning_rates=rates,
            images_per_second=n_images / seconds,
            seconds_left=progress.seconds / progress.step * (session.n_steps - progress.step),
        )
        session.processes.log(
            {"loss": loss, "gradient_norm": norm, **{f"rate/{n}": r for n, r in rates.items()}},
            step=progress.step,
        )
        yield record
        began = time.perf_counter()


def _take_step(session: Session, progress: Progress, step: StepInput) -> tuple[float, float]:
    """Return loss and gradient norm; before a step that cannot be taken, save what there is."""
    try:
        loss = compute_gradients(
            step,
            session.trainee,
            session.loss,
            n_processes=session.processes.count,
            scaler=session.scaler,
        )
        norm = update(
            session.trainee,
            session.optimizer,
            loss=loss,
            clip_norm=session.options.optimizer.clip_norm,
            scaler=session.scaler,
        )
    except NonFiniteError as error:
        progress.save()
        raise NonFiniteError(
            f"step {progress.step + 1} of epoch {progress.epoch + 1}: {error}; lower the learning "
            "rate or train in fp32; the weights before this step are kept"
        ) from error
    session.trainee.limit_scale()
    return loss, norm


def _find_state(folder: Path | None, *, resume: bool) -> SavedState | None:
    if not resume:
        if folder is not None and has_state(folder):
            raise RunError(f"{str(folder)!r} holds a run already; resume it, or name another place")
        return None
    if folder is None:
        raise InputError("a resume came without a folder; name the run to take up again")
    return load_state(folder)


def _with_saved_sizes(options: FinetuneOptions, saved: SavedState | None) -> FinetuneOptions:
    """Where sizes are left to the machine, a resumed run keeps those it began with."""
    if saved is None:
        return options
    first = saved.facts["identity"]
    sizes = {
        name: first[name]
        for name in ("batch_size", "micro_batch_size")
        if getattr(options, name) == "auto"
    }
    return replace(options, **sizes)


def _plan(session: Session, progress: Progress) -> TrainingPlan:
    options = session.options
    assert options.precision != "auto", "open_session settles it"
    return TrainingPlan(
        groups=tuple(describe_plans(session.plans)),
        method=options.method,
        loss=session.loss,
        precision=options.precision,
        batch_size=session.source.batch_size,
        micro_batch_size=session.source.micro_batch_size,
        steps_an_epoch=session.steps_an_epoch,
        n_processes=session.processes.count,
        resumed_at_step=progress.step,
        views=session.source.views,
        kept_bytes=session.kept_bytes,
    )


def _numbers(record: EpochRecord) -> dict[str, float]:
    """Return an epoch's scores under the names that trackers show."""
    parts = {"train": record.train, "val": record.val}
    parts |= {f"watch/{name}": scores for name, scores in record.watch.items()}
    numbers = {f"{name}/accuracy": scores.accuracy for name, scores in parts.items()}
    numbers |= {f"{name}/log_loss": scores.log_loss for name, scores in parts.items()}
    return numbers
