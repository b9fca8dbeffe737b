"""``cliptune fit --method HEAD|all``: heads on the cached features of a frozen model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cliptune.cli.console import note, print_json, progress_bar
from cliptune.cli.few_shot import read_shots, run_trials
from cliptune.cli.fit_tables import show_fit
from cliptune.cli.open_data import open_learnable
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions
from cliptune.cli.session import Embedded, embed_table, open_encoder, open_store
from cliptune.cli.tasks import make_task
from cliptune.errors import InputError, UnknownNameError
from cliptune.finetune.options import METHODS
from cliptune.selection.methods import needed_rows

if TYPE_CHECKING:
    from cliptune.choosing import Chosen
    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.few_shot import Trial
    from cliptune.prompts import TemplateSet
    from cliptune.protocol import Partition
    from cliptune.task import Task

__all__ = ["HeadRequest", "fit_heads"]


@dataclass(frozen=True, kw_only=True)
class HeadRequest:
    """What the command line asked for.

    Attributes:
        data: The data set, as it was named.
        method: A name in ``HEADS``, or ``all``.
        template_set: How class names become texts.
        margin: Accuracy that a simpler method may cost.
        val: Share of the images held out once, in place of cross-validation, or None.
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
    margin: float
    val: float | None
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
    """Embed once, choose on held-out images, open the test once, leave a classifier."""
    from cliptune.run_place import claim_place

    with claim_place(request.out, "fit", request.data) as place:
        _fit(request, place)


def _fit(request: HeadRequest, place: Path) -> None:
    began = time.perf_counter()
    counts = read_shots(request.shots, request.seeds, request.output.seed)
    methods = _methods(request.method, request.options)
    options = {k: v for k, v in request.options.items() if (k, v) != ("features", "auto")}

    from cliptune.protocol import draw_shots, rehearse_partition

    needs = {row for name in methods for row in needed_rows(name, options)}
    table = open_learnable(request.data, request.dataset)
    rehearsed = rehearse_partition(table, val_fraction=None, seed=request.output.seed)
    for n in counts:
        draw_shots(table.labels, rehearsed, shots=n, class_names=table.class_names, seed=0)
    encoder, store = open_encoder(request.model, table), open_store(request.model)
    trunk: Literal["no", "must", "may"] = "no"
    if "trunk" in needs:
        trunk = "must" if "features" in options else "may"
    embedded = embed_table(
        encoder,
        table,
        store,
        on_bad_image=request.dataset.on_bad_image,
        trunk=trunk,
        meanwhile="torch",
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
            task,
            partition,
            methods,
            counts,
            request.seeds,
            options,
            request.abstain_precision,
            request.margin,
        )
        task, chosen = kept.draw.task, kept.chosen
    else:
        chosen = _choose(task, methods, options, request)
    for sentence in chosen.notes:
        note(sentence)
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
        chosen,
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


def _methods(method: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    from cliptune.heads import HEADS
    from cliptune.heads.build import make_head
    from cliptune.selection.methods import COMPARED

    if method != "all":
        if method not in HEADS:
            raise UnknownNameError("method", method, [*HEADS, "all", *METHODS])
        if options:  # a head refuses what it does not take, before any image is embedded
            auto = {"features": "embedding"} if options.get("features") == "auto" else {}
            make_head(method, {**options, **auto}, seed=0)
        return (method,)
    if options:
        raise InputError(
            f"--method all takes no {', '.join('--' + o.replace('_', '-') for o in options)}; "
            "name one method to set its options"
        )
    return COMPARED


def _make_task(
    embedded: Embedded,
    encoder: DualEncoder,
    store: FeatureStore,
    needs: Set[str],
    request: HeadRequest,
) -> tuple[Task, Partition]:
    from cliptune.protocol import partition_table

    table, vectors, seed = embedded.table, embedded.features.vectors, request.output.seed
    partition = partition_table(table, vectors, val_fraction=None, seed=seed)
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


def _choose(
    task: Task, methods: Sequence[str], options: Mapping[str, Any], request: HeadRequest
) -> Chosen:
    from cliptune.choosing import choose_methods

    with progress_bar("fitting", "methods") as show:
        return choose_methods(
            task,
            methods,
            options=options,
            abstain_precision=request.abstain_precision,
            margin=request.margin,
            cut=request.val,
            progress=show,
        )
