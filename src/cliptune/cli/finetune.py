"""``cliptune fit --method full|lora|head-then-full``: the weights of the model itself move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cliptune.cli.console import note, print_json, progress_bar
from cliptune.cli.finetune_start import (
    Checked,
    FinetuneRequest,
    begin_run,
    check_first,
    claim_run,
    open_start,
)
from cliptune.cli.finetune_tables import note_event, show_finetune
from cliptune.cli.open_data import open_labelled
from cliptune.cli.options import DataOptions
from cliptune.cli.session import embed_table, open_store, open_trainable_encoder, text_encoder
from cliptune.finetune.processes import launched_as, leave_processes, require_tracker

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.features import FeatureStore
    from cliptune.finetune.data import TrainingData, WatchData
    from cliptune.finetune.records import Event
    from cliptune.finetune_run import FinetuneSettings, Start, Trained
    from cliptune.images import ImageTable
    from cliptune.runs import RunDir
    from cliptune.task import Task

__all__ = ["fit_encoder"]


def fit_encoder(request: FinetuneRequest) -> None:
    """Train the encoder, choose on validation, open the test once, leave a classifier.

    Under ``accelerate launch`` all processes train; the first one alone writes and reports.
    """
    rank, count = launched_as()
    with claim_run(request, rank, count) as place:
        _fit(request, place, rank, count)


def _fit(request: FinetuneRequest, place: Path, rank: int, count: int) -> None:
    began = time.perf_counter()
    for name in request.around.track:
        require_tracker(name)
    encoder = open_trainable_encoder(request.model)
    store = open_store(request.model)
    watch = _open_watched(request)
    start = open_start(request, encoder, store)
    if rank == 0:
        for sentence in start.partition.notes:
            note(sentence)
    settings = _settings(request, encoder.name)
    data = _training_data(request, start, watch, store)
    if rank == 0 and (place / "config.json").is_file():
        begin_run(place, settings, Checked(), data)  # refuses other options than those there
    checked = check_first(request, encoder, store, start, place)
    if rank == 0 and request.around.track:
        begin_run(place, settings, checked, data)  # before a tracker's first file is there
    trained = _follow(
        _train(request, encoder, data, watch, place),
        request.options.epochs,
        begin=partial(begin_run, place, settings, checked, data) if rank == 0 else None,
    )
    trained = replace(trained, checks=checked.results)
    if count > 1:
        leave_processes()
    if rank > 0:
        return
    result = _finish(place, settings, start, trained, encoder, store, request)
    if request.output.json:
        print_json(result | {"seconds_total": time.perf_counter() - began})
    else:
        show_finetune(result)


def _settings(request: FinetuneRequest, model: str) -> FinetuneSettings:
    from cliptune.finetune_run import FinetuneSettings

    return FinetuneSettings(
        data=request.data,
        model=model,
        template_set=request.template_set,
        val_fraction=request.val,
        options=request.options,
        watch=request.around.watch,
        abstain_precision=request.abstain_precision,
    )


def _training_data(
    request: FinetuneRequest, start: Start, watch: Mapping[str, WatchData], store: FeatureStore
) -> TrainingData:
    """Say what is learned from, and write down every image that the run rests on."""
    from cliptune.finetune.data import TrainingData

    table, partition = start.table, start.partition
    identity = store.identify(table, partition.roles(len(table)))
    for name, watched in watch.items():
        images = cast("ImageTable", watched.images)
        identity = identity.joined(name, store.identify(images, ["watch"] * len(images)))
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
) -> Iterator[Event]:
    from cliptune.finetune.checkpoints import has_state
    from cliptune.finetune.loop import finetune
    from cliptune.runs import CHECKPOINT

    folder = place / CHECKPOINT
    return finetune(
        encoder,
        data,
        request.options,
        folder=folder,
        resume=has_state(folder),
        watch=watch,
        trackers=request.around.track,
        log_folder=place / "logs",
    )


def _open_watched(request: FinetuneRequest) -> dict[str, WatchData]:
    from cliptune.finetune.data import WatchData

    watched = {}
    for name in request.around.watch:
        table: ImageTable = open_labelled(name, DataOptions())
        watched[name] = WatchData(table, request.template_set.templates)
    return watched


def _follow(events: Iterable[Event], n_epochs: int, *, begin: Callable[[], None] | None) -> Trained:
    """Show what happens as it happens, and keep what is to be recorded.

    Args:
        events: Of the training.
        n_epochs: Epochs of the whole run.
        begin: Called once the plan stands, before anything is trained; None in a process that
            neither writes nor shows.
    """
    from cliptune.finetune.records import FinetuneResult, HeadRecord, StepRecord, TrainingPlan
    from cliptune.finetune_run import Trained

    plan: TrainingPlan | None = None
    head: HeadRecord | None = None
    result: FinetuneResult | None = None
    seconds_left: float | None = None
    with progress_bar("training", "steps") as show:
        for event in events:
            match event:
                case StepRecord():
                    show(event.step, event.n_steps)
                    seconds_left = event.seconds_left
                case TrainingPlan():
                    plan = event
                case HeadRecord():
                    head = event
                case FinetuneResult():
                    result = event
                case _:
                    pass
            if begin is not None:
                note_event(event, n_epochs, seconds_left)
                if isinstance(event, TrainingPlan):
                    begin()
    assert plan is not None, "the first event"
    assert result is not None, "the last event"
    return Trained(plan, head, result)


def _finish(
    place: Path,
    settings: FinetuneSettings,
    start: Start,
    trained: Trained,
    encoder: TorchEncoder,
    store: FeatureStore,
    request: FinetuneRequest,
) -> dict[str, Any]:
    """Let the chosen weights rejoin at the features."""
    from cliptune.features import describe_computing
    from cliptune.finetune_run import finish_finetune
    from cliptune.prompts import ensemble_rows
    from cliptune.run_encoder import save_run_encoder
    from cliptune.runs import RunDir

    tuned = encoder.rewrapped(device=encoder.device, precision="fp32")
    run: RunDir = RunDir(place)
    record = save_run_encoder(run, tuned)
    embedded = embed_table(tuned, start.table, store, on_bad_image="fail")
    encode = text_encoder(tuned, store, request.model)
    task: Task = replace(
        start.task,
        vectors=embedded.features.vectors,
        text_rows=ensemble_rows(encode, start.table.class_names, request.template_set.templates),
        logit_scale=tuned.logit_scale,
    )
    return finish_finetune(
        run,
        settings,
        start,
        trained,
        task=task,
        features_key=embedded.features.key,
        encoder=record,
        computing=describe_computing(tuned, store.guard),
    )
