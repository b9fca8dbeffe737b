"""``cliptune fit --method HEAD|ladder``: heads on the cached features of a frozen model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.cli.console import note, print_json, progress_bar
from cliptune.cli.few_shot import read_shots, run_trials
from cliptune.cli.fit_tables import show_fit
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions
from cliptune.cli.session import (
    Embedded,
    embed_table,
    open_encoder,
    open_store,
    open_whole_table,
)
from cliptune.cli.tasks import make_task
from cliptune.errors import InputError, NoTrunkError, UnknownNameError
from cliptune.finetune.options import METHODS

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.few_shot import Trial
    from cliptune.fitting import Fitted
    from cliptune.heads import Needs
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet
    from cliptune.protocol import Partition
    from cliptune.task import Task

__all__ = ["HeadRequest", "fit_heads"]


@dataclass(frozen=True, kw_only=True)
class HeadRequest:
    """What the command line asked for.

    Attributes:
        data: The data set, as it was named.
        method: A name in ``HEADS``, or ``ladder``.
        template_set: How class names become texts.
        val: Share of the training images cut for validation.
        shots: Images a class as the user wrote them, or None.
        seeds: Draws for each of these.
        options: Arguments of the head that were given.
        abstain_precision: Wanted precision of answers, or None.
        embed_encoder: Keep the encoder's weights in the run.
        out: Where the run goes.
        dataset: How to read the data set.
        model: Which encoder, where and how it computes.
        output: How results are shown.
    """

    data: str
    method: str
    template_set: TemplateSet
    val: float
    shots: str | None
    seeds: int
    options: Mapping[str, float | str]
    abstain_precision: float | None
    embed_encoder: bool
    out: Path | None
    dataset: DataOptions
    model: ModelOptions
    output: OutputOptions


def fit_heads(request: HeadRequest) -> None:
    """Embed once, fit, choose on validation, open the test once, leave a classifier."""
    from cliptune.run_place import claim_place

    with claim_place(request.out, "fit", request.data) as place:
        _fit(request, place)


def _fit(request: HeadRequest, place: Path) -> None:
    began = time.perf_counter()
    counts = read_shots(request.shots, request.seeds, request.output.seed)
    options = _complete(request, few_shot=bool(counts))
    methods = _methods(request.method, options)

    from cliptune.fitting import needs_of
    from cliptune.images import require_classes, require_labels
    from cliptune.protocol import draw_shots, rehearse_partition

    needs = {needs_of(name, options) for name in methods}
    table = open_whole_table(request.data, request.dataset)
    require_labels(table)
    require_classes(table)
    rehearsed = rehearse_partition(table, val_fraction=request.val, seed=request.output.seed)
    for n in counts:
        draw_shots(table.labels, rehearsed, shots=n, class_names=table.class_names, seed=0)
    encoder, store = open_encoder(request.model, table), open_store(request.model)
    embedded = _embed(
        encoder,
        table,
        store,
        request.dataset,
        trunk="trunk" in needs,
        features=options.get("features"),
    )
    task, partition = _make_task(embedded, encoder, store, needs, request)
    for sentence in partition.notes:
        note(sentence)

    from cliptune.classifier import EncoderRecord
    from cliptune.features import describe_computing
    from cliptune.run_encoder import encoder_in_fp32
    from cliptune.training_run import FitSettings, finish_run

    trials: list[Trial] = []
    if counts:
        trials, kept, partition = run_trials(
            task, partition, methods, counts, request.seeds, options, request.abstain_precision
        )
        task, fitted = kept.draw.task, kept.fitted
    else:
        fitted = _fit_all(task, methods, options, request.abstain_precision)
    settings = FitSettings(
        request.data,
        request.method,
        request.template_set,
        request.val,
        options,
        request.output.seed,
        counts,
        request.seeds,
    )
    result = finish_run(
        place,
        settings,
        fitted,
        task=task,
        partition=partition,
        table=embedded.table,
        features_key=embedded.features.key,
        encoder=EncoderRecord.of(encoder),
        trials=trials,
        computing=describe_computing(encoder, store.guard),
        weights_of=encoder_in_fp32(encoder) if request.embed_encoder else None,
    )
    if request.output.json:
        print_json(result | {"seconds_total": time.perf_counter() - began})
    else:
        show_fit(result)


def _complete(request: HeadRequest, *, few_shot: bool) -> dict[str, float | str]:
    """Return the options with the choice of features that goes without saying."""
    from cliptune.fitting import ON_TRUNK

    options = dict(request.options)
    if few_shot and options.get("features") == "auto":
        raise InputError("--features auto came with --shots; name embedding or trunk")
    if not few_shot and request.method in ON_TRUNK:
        options.setdefault("features", "auto")
    return options


def _methods(method: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    from cliptune.heads import HEADS
    from cliptune.ladder import LADDER

    if method != "ladder":
        if method not in HEADS:
            raise UnknownNameError("method", method, [*HEADS, "ladder", *METHODS])
        return (method,)
    if options:
        raise InputError(
            f"--method ladder takes no {', '.join('--' + o.replace('_', '-') for o in options)}; "
            "name one method to set its options"
        )
    return LADDER


def _embed(
    encoder: DualEncoder,
    table: ImageTable,
    store: FeatureStore,
    dataset: DataOptions,
    *,
    trunk: bool,
    features: float | str | None,
) -> Embedded:
    """Embed a table; an encoder without features before a projection is refused if they must be."""
    try:
        return embed_table(
            encoder,
            table,
            store,
            on_bad_image=dataset.on_bad_image,
            trunk=trunk,
            meanwhile="torch",
        )
    except NoTrunkError as error:
        if features != "auto":
            raise
        note(str(error))
    return embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image, meanwhile="torch")


def _make_task(
    embedded: Embedded,
    encoder: DualEncoder,
    store: FeatureStore,
    needs: Set[Needs],
    request: HeadRequest,
) -> tuple[Task, Partition]:
    from cliptune.protocol import partition_table

    table, vectors, seed = embedded.table, embedded.features.vectors, request.output.seed
    partition = partition_table(table, vectors, val_fraction=request.val, seed=seed)
    task = make_task(
        encoder,
        store,
        table,
        vectors,
        partition,
        compute=request.model,
        templates=request.template_set.templates,
        seed=seed,
        tokens="tokens" in needs,
        trunk=embedded.features.trunk,
    )
    return task, partition


def _fit_all(
    task: Task,
    methods: Sequence[str],
    options: Mapping[str, Any],
    abstain_precision: float | None,
) -> Mapping[str, Fitted]:
    from cliptune.fitting import fit_methods

    fitted = {}
    total = len(set(methods) | {"zero-shot"})
    with progress_bar("fitting", "methods") as show:
        show(0, total)
        for one in fit_methods(task, methods, options=options, abstain_precision=abstain_precision):
            fitted[one.name] = one
            show(len(fitted), total)
    return fitted
