"""``finetune``: the weights of the model itself move.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cliptune.errors import InputError, UnknownNameError
from cliptune.finetuning.options import METHODS, FinetuneOptions
from cliptune.finetuning.processes import launched_as, leave_processes, require_tracker
from cliptune.system.allocator import freed_memory_kept
from cliptune.system.bounds import INNER_SHARE, MAX_SEED, require_count, require_number
from cliptune.workflows.activations import keep_activations
from cliptune.workflows.dataset import data_name, open_labelled
from cliptune.workflows.finetune_start import (
    Checked,
    FinetuneRequest,
    begin_run,
    check_first,
    claim_run,
    open_start,
)
from cliptune.workflows.options import ComputeOptions, DataOptions, Prompts, read_prompts
from cliptune.workflows.progress import ProgressLike, Watch, watching
from cliptune.workflows.prompting import choose_one_template_set
from cliptune.workflows.requirements import require_class_names, require_trainable
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.classifiers.head_data import HeadData
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.finetuning.data import TrainingData, WatchData
    from cliptune.finetuning.entry import ActivationPlace
    from cliptune.finetuning.records import Event
    from cliptune.images import ImageTable
    from cliptune.results.finetuned import FinetuneResult
    from cliptune.runs import RunDir
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.finetune_run import FinetuneSettings, Start, Trained
    from cliptune.workflows.session import Model

__all__ = ["finetune"]


def finetune(
    data: Data,
    *,
    method: str = "full",
    epochs: int | None = None,
    lr: float | None = None,
    options: FinetuneOptions | None = None,
    model: Model = "lite",
    val: float = 0.2,
    abstain_precision: float | None = None,
    watched: Sequence[Data] = (),
    track: Sequence[str] = (),
    resume: str | Path | None = None,
    check: bool = True,
    activations: bool = True,
    max_disk: int | None = None,
    prompts: Prompts = (),
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> FinetuneResult | None:
    """Train the encoder, choose on validation, open the test once, leave a classifier.

    Under ``accelerate launch`` all processes train; the first one alone writes and reports.

    Args:
        data: A data set by name, or a table.
        method: ``full``, ``lora`` or ``head-then-full``.
        epochs: Passes over the training images.
        lr: Learning rate of everything that trains.
        options: All options of the training, in place of ``method``, ``epochs``, ``lr``, ``seed``
            and the precision of ``compute``.
        model: Which encoder to start from, by name.
        val: Share of the training images cut for validation where there is no such split.
        abstain_precision: Wanted precision of answers; without it the classifier always answers.
        watched: Data that are only looked at: what does the model still know?
        track: ``tensorboard``, ``mlflow`` or ``wandb``.
        resume: Folder of an unfinished run to take up; repeat its options.
        activations: Compute what blocks that never train give once, keep it on disk, and begin
            every further epoch behind them.
        max_disk: Most bytes that this may take; half of what is free otherwise.
        check: Look at data and set-up before a new run, as ``check`` does.
        prompts: How class names become texts.
        out: Folder for the classifier; ``runs/fit-...`` otherwise.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        seed: Of everything random.
        progress: A callback, or True for bars; it also gets the events of the training
            (``TrainingPlan``, ``StepRecord``, ``EpochRecord`` and the like).

    Returns:
        Epochs, scores and where the classifier is; None in every process but the first.

    Raises:
        CliptuneError: Data, options, model or place do not fit; the message says which.
    """
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    template_set = choose_one_template_set(read_prompts(prompts), "fit")
    require_class_names(dataset)
    require_trainable(compute, model)
    require_number("--val", val, **INNER_SHARE)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    if max_disk is not None and not activations:
        raise InputError("--max-disk bounds what --no-activations keeps off; leave one of them out")
    if abstain_precision is not None:
        require_number("--abstain-precision", abstain_precision, above=0, at_most=1)
    request = FinetuneRequest(
        data=data,
        model=model,
        options=options or _usual_options(method, epochs, lr, compute, seed),
        template_set=template_set,
        val=val,
        abstain_precision=abstain_precision,
        watched=tuple(watched),
        track=tuple(track),
        resume=None if resume is None else Path(resume),
        check=check,
        activations=activations,
        max_disk=max_disk,
        out=None if out is None else Path(out),
        dataset=dataset,
        seed=seed if options is None else options.seed,
    )
    if options is not None and (epochs is not None or lr is not None):
        raise InputError("options came with epochs or lr; write them into the options")
    rank, count = launched_as()
    session = Session(compute, watching(progress if rank == 0 else None))
    with claim_run(request, rank, count) as place, freed_memory_kept():
        return _finetune(request, place, session, rank, count)


def _usual_options(
    method: str, epochs: int | None, lr: float | None, compute: ComputeOptions, seed: int
) -> FinetuneOptions:
    usual = FinetuneOptions()
    return FinetuneOptions(
        method=method,
        epochs=usual.epochs if epochs is None else epochs,
        learning_rate=lr,
        precision=compute.precision,
        seed=seed,
    )


def _finetune(
    request: FinetuneRequest, place: Path, session: Session, rank: int, count: int
) -> FinetuneResult | None:
    began = time.perf_counter()
    for name in request.track:
        require_tracker(name)
    encoder = session.open_trainable_encoder(request.model)
    watch = _open_watched(request, session.watch)
    start, frozen = open_start(request, encoder, session)
    for sentence in start.partition.notes:
        session.watch.note(sentence)
    settings = _settings(request, encoder.name)
    data = _training_data(request, start, watch, session)
    if rank == 0 and (place / "config.json").is_file():
        begin_run(place, settings, Checked(), data)  # refuses other options than those there
    checked = check_first(request, encoder, frozen, session, start, place)
    del frozen  # its memory is the training's
    if rank == 0 and request.track:
        begin_run(place, settings, checked, data)  # before a tracker's first file is there
    trained = _follow(
        _train(request, encoder, data, watch, place, _keep_in(request, data, watch, session)),
        session.watch,
        begin=partial(begin_run, place, settings, checked, data) if rank == 0 else None,
    )
    trained = replace(trained, checks=checked.results)
    if count > 1:
        leave_processes()
    if rank > 0:
        return None
    return _finish(place, settings, start, trained, encoder, session, request, began)


def _settings(request: FinetuneRequest, model: str) -> FinetuneSettings:
    from cliptune.workflows.finetune_run import FinetuneSettings

    return FinetuneSettings(
        data=data_name(request.data),
        model=model,
        template_set=request.template_set,
        val_fraction=request.val,
        options=request.options,
        watch=tuple(map(data_name, request.watched)),
        abstain_precision=request.abstain_precision,
    )


def _training_data(
    request: FinetuneRequest, start: Start, watch: Mapping[str, WatchData], session: Session
) -> TrainingData:
    """Say what is learned from, and write down every image that the run rests on."""
    from cliptune.finetuning.data import TrainingData

    table, partition = start.table, start.partition
    identity = session.store.identify(table, partition.roles(len(table)))
    for name, one in watch.items():
        images = cast("ImageTable", one.images)
        identity = identity.joined(name, session.store.identify(images, ["watch"] * len(images)))
    return TrainingData(
        table.select(partition.train),
        table.select(partition.val),
        request.template_set.templates,
        identity,
    )


def _train(
    request: FinetuneRequest,
    encoder: TorchEncoder,
    data: TrainingData,
    watch: Mapping[str, WatchData],
    place: Path,
    activations: ActivationPlace | None,
) -> Iterator[Event]:
    from cliptune.finetuning.checkpoints import has_state
    from cliptune.finetuning.loop import finetune as train
    from cliptune.runs import CHECKPOINT

    folder = place / CHECKPOINT
    return train(
        encoder,
        data,
        request.options,
        folder=folder,
        resume=has_state(folder),
        watch=watch,
        trackers=request.track,
        log_folder=place / "logs",
        activations=activations,
    )


def _keep_in(
    request: FinetuneRequest,
    data: TrainingData,
    watch: Mapping[str, WatchData],
    session: Session,
) -> ActivationPlace | None:
    if not request.activations:
        return None
    assert data.identity is not None, "every run writes down its images"
    prefixes = {id(one.images): f"{name}: " for name, one in watch.items()}
    return keep_activations(data.identity, session, prefixes=prefixes, max_bytes=request.max_disk)


def _open_watched(request: FinetuneRequest, told: Watch) -> dict[str, WatchData]:
    from cliptune.finetuning.data import WatchData

    watched = {}
    for data in request.watched:
        table: ImageTable = open_labelled(data, DataOptions(), told)
        watched[data_name(data)] = WatchData(table, request.template_set.templates)
    return watched


def _follow(events: Iterable[Event], watch: Watch, *, begin: Callable[[], None] | None) -> Trained:
    """Tell what happens as it happens, and keep what is to be recorded.

    Args:
        events: Of the training.
        watch: Who is told.
        begin: Called once the plan stands, before anything is trained; None in a process that
            neither writes nor shows.
    """
    from cliptune.finetuning.records import (
        BlocksRecord,
        HeadRecord,
        StepRecord,
        TrainingOutcome,
        TrainingPlan,
    )
    from cliptune.workflows.finetune_run import Trained

    plan: TrainingPlan | None = None
    head: HeadRecord | None = None
    result: TrainingOutcome | None = None
    with _Stages(watch) as stages:
        for event in events:
            watch.event(event)
            match event:
                case StepRecord():
                    stages.show("training", "steps", event.step, event.n_steps)
                case BlocksRecord():
                    stages.show("frozen blocks", "images", event.done, event.total)
                case TrainingPlan():
                    plan = event
                    if begin is not None:
                        begin()
                case HeadRecord():
                    head = event
                case TrainingOutcome():
                    result = event
                case _:
                    pass
    assert plan is not None, "the first event"
    assert result is not None, "the last event"
    return Trained(plan, head, result)


class _Stages(ExitStack):
    """Stages that take turns, one of them shown at a time."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch, self._label = watch, ""
        self._show: Callable[[int, int], None] | None = None

    def show(self, label: str, unit: str, done: int, total: int) -> None:
        """Show how far a stage is; the one before it ends."""
        if self._show is None or label != self._label:
            self.close()
            self._label = label
            self._show = self.enter_context(self._watch.stage(label, unit))
        self._show(done, total)


def _finish(
    place: Path,
    settings: FinetuneSettings,
    start: Start,
    trained: Trained,
    encoder: TorchEncoder,
    session: Session,
    request: FinetuneRequest,
    began: float,
) -> FinetuneResult:
    """Let the chosen weights rejoin at the features."""
    from cliptune.classifiers.run_encoder import save_run_encoder
    from cliptune.features import describe_computing
    from cliptune.prompts import ensemble_rows
    from cliptune.results.finetuned import FinetuneResult
    from cliptune.runs import RunDir
    from cliptune.workflows.finetune_run import finish_finetune
    from cliptune.workflows.own_weights import open_trained

    tuned = encoder.rewrapped(device=encoder.device, precision="fp32")
    run: RunDir = RunDir(place)
    record = save_run_encoder(run, tuned)
    embeds = open_trained(session, tuned, start.table)
    embedded = session.embed(embeds, start.table, on_bad_image="fail")
    encode = session.text_encoder(embeds)
    task: HeadData = replace(
        start.task,
        vectors=embedded.features.vectors,
        text_rows=ensemble_rows(encode, start.table.class_names, request.template_set.templates),
        logit_scale=tuned.logit_scale,
    )
    reported: dict[str, Any] = finish_finetune(  # Any: plain JSON values
        run,
        settings,
        start,
        trained,
        task=task,
        features_key=embedded.features.key,
        encoder=record,
        computing=describe_computing(embeds, session.store.guard),
    )
    return FinetuneResult.from_dict(reported | {"seconds_total": time.perf_counter() - began})
