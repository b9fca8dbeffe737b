"""``cliptune fit``: learn a classifier on cached features, with evidence."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cliptune.cli.console import note, print_json, progress_bar
from cliptune.cli.few_shot import read_shots, run_trials
from cliptune.cli.finetune import fit_encoder
from cliptune.cli.finetune_options import (
    RunOptions,
    TuningOptions,
    make_finetune_options,
    read_single_rate,
    refuse_for_head,
)
from cliptune.cli.finetune_start import FinetuneRequest
from cliptune.cli.fit_tables import show_fit
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    Embedded,
    choose_one_template_set,
    embed_table,
    embed_tokens,
    import_ahead,
    open_encoder,
    open_store,
    open_whole_table,
    text_encoder,
)
from cliptune.errors import InputError, NoTrunkError, UnknownNameError
from cliptune.finetune.options import METHODS

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.few_shot import Trial
    from cliptune.fitting import Fitted, Task
    from cliptune.heads import Needs
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet
    from cliptune.protocol import Partition

__all__ = ["fit"]

_ON_TRUNK = ("linear", "discriminant")  # the heads that can also take features before a projection


def fit(
    data: str,
    /,
    *,
    method: str = "ladder",
    val: float = 0.2,
    shots: str | None = None,
    seeds: int = 1,
    lr: str | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    features: Literal["auto", "embedding", "trunk"] | None = None,
    abstain_precision: float | None = None,
    embed_encoder: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    dataset: DataOptions = DataOptions(),
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
    tuning: TuningOptions = TuningOptions(),
    around: RunOptions = RunOptions(),
) -> None:
    """Learn a classifier: a head on a frozen model, or the model itself.

    Everything is chosen on validation; the test split stays locked until the end.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        method: zero-shot, linear, dual-linear, attention, cache, discriminant, prototype, knn,
            or ladder: all of them, compared, with a recommendation; they encode each image
            once. full, lora or head-then-full train the model itself.
        val: Share of the training images cut for validation where there is no such split.
        shots: Learn from so many images of each class: one number, or several such as
            1,2,4,8,16 for a learning curve.
        seeds: Draws of these images for each number; mean and deviation are over them.
        lr: Learning rate of a method that trains by gradient; for the model itself one number
            or GROUP=NUMBER[,GROUP=NUMBER...], e.g. head=1e-2,image=1e-5,text=0.
        weight_decay: Its weight decay.
        epochs: Its passes over the training images.
        features: What linear and discriminant learn from: the embedding; trunk, the image
            tower's features before the projection behind it; or auto, what has the lower
            log-loss on validation, which it is unless there are shots. The ladder compares all
            methods on the embedding.
        abstain_precision: Choose a threshold below which the classifier abstains, so that this
            share of its answers is right on validation.
        embed_encoder: Keep the encoder's weights in the run, so that it needs no other.
        out: Folder for the classifier; runs/fit-... otherwise.
        dataset: How to read the data set.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
        tuning: How the model itself is trained.
        around: What surrounds that training.
    """
    template_set = choose_one_template_set(prompts, "fit")
    if method in METHODS:
        if shots is not None:
            raise InputError(f"method {method} takes no --shots; few-shot trials are for heads")
        if features is not None:
            raise InputError(f"method {method} takes no --features; they are for heads")
        fit_encoder(
            FinetuneRequest(
                data=data,
                options=make_finetune_options(
                    tuning,
                    method=method,
                    lr=lr,
                    weight_decay=weight_decay,
                    epochs=epochs,
                    precision=model.precision,
                    seed=output.seed,
                    checkpoint_seconds=around.checkpoint_seconds,
                ),
                template_set=template_set,
                val=val,
                abstain_precision=abstain_precision,
                out=out,
                around=around,
                dataset=dataset,
                model=model,
                output=output,
            )
        )
        return
    refuse_for_head(method, tuning, around)
    counts = read_shots(shots, seeds)
    if features is None and method in _ON_TRUNK and not counts:
        features = "auto"
    elif features == "auto" and counts:
        raise InputError("--features auto came with --shots; name embedding or trunk")
    options = _options(
        lr=read_single_rate(lr), weight_decay=weight_decay, epochs=epochs, features=features
    )
    methods = _methods(method, options)

    from cliptune.fitting import needs_of
    from cliptune.images import require_classes, require_labels
    from cliptune.runs import default_run_path, require_free_place

    import_ahead("torch")
    start = time.perf_counter()
    needs = {needs_of(name, options) for name in methods}
    place = out or default_run_path("fit", data)
    require_free_place(place)
    table = open_whole_table(data, dataset)
    require_labels(table)
    require_classes(table)
    encoder, store = open_encoder(model, table), open_store(model)
    embedded = _embed(encoder, table, store, dataset, trunk="trunk" in needs, features=features)
    task, partition = _make_task(
        embedded, encoder, store, template_set, needs, val, model, output.seed
    )
    for sentence in partition.notes:
        note(sentence)

    from cliptune.classifier import EncoderRecord
    from cliptune.run_encoder import encoder_in_fp32
    from cliptune.training_run import FitSettings, finish_run

    trials: list[Trial] = []
    if counts:
        trials, kept, partition = run_trials(
            task, partition, methods, counts, seeds, options, abstain_precision
        )
        task, fitted = kept.draw.task, kept.fitted
    else:
        fitted = _fit_all(task, methods, options, abstain_precision)
    result = finish_run(
        place,
        FitSettings(data, method, template_set, val, options, output.seed, counts, seeds),
        fitted,
        task=task,
        partition=partition,
        table=embedded.table,
        features_key=embedded.features.key,
        encoder=EncoderRecord.of(encoder),
        trials=trials,
        weights_of=encoder_in_fp32(encoder) if embed_encoder else None,
    )
    if output.json:
        print_json(result | {"seconds_total": time.perf_counter() - start})
    else:
        show_fit(result)


def _embed(
    encoder: DualEncoder,
    table: ImageTable,
    store: FeatureStore,
    dataset: DataOptions,
    *,
    trunk: bool,
    features: str | None,
) -> Embedded:
    """Embed a table; an encoder without features before a projection is refused if they must be."""
    try:
        return embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image, trunk=trunk)
    except NoTrunkError as error:
        if features != "auto":
            raise
        note(str(error))
    return embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image)


def _options(**given: float | str | None) -> dict[str, float | str]:
    return {name: value for name, value in given.items() if value is not None}


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


def _make_task(
    embedded: Embedded,
    encoder: DualEncoder,
    store: FeatureStore,
    template_set: TemplateSet,
    needs: Set[Needs],
    val_fraction: float,
    model: ModelOptions,
    seed: int,
) -> tuple[Task, Partition]:
    from cliptune.prompts import ensemble_rows
    from cliptune.protocol import partition_table

    table, vectors = embedded.table, embedded.features.vectors
    partition = partition_table(table, vectors, val_fraction=val_fraction, seed=seed)
    encode = text_encoder(encoder, store, model)
    tokens = None
    if "tokens" in needs:
        tokens = embed_tokens(encoder, table, store)
    text_rows = ensemble_rows(encode, table.class_names, template_set.templates)

    from cliptune.fitting import Task

    task = Task(
        vectors=vectors,
        tokens=tokens,
        labels=table.labels,
        class_names=table.class_names,
        text_rows=text_rows,
        logit_scale=encoder.logit_scale,
        train=partition.train,
        val=partition.val,
        seed=seed,
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
