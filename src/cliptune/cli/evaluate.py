"""``cliptune evaluate``: scores of zero-shot, of a fitted classifier, or of retrieval."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cliptune.cli.console import print_json, print_table, print_text
from cliptune.cli.early import require_class_names, require_compute
from cliptune.cli.open_data import note_absent_classes, open_labelled
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    Embedded,
    choose_template_sets,
    embed_table,
    note_equal_classes,
    open_encoder,
    open_store,
    text_encoder,
)
from cliptune.errors import InputError
from cliptune.formatting import change, decimal, interval, per_second, percent, with_p

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.evaluation import ZeroShotScores
    from cliptune.features import FeatureStore
    from cliptune.metrics import Metrics
    from cliptune.paired import Comparison
    from cliptune.prompts import TemplateSet

__all__ = ["evaluate"]

_CLASSES_SHOWN = 12


def evaluate(
    data: str,
    /,
    *,
    task: Literal["zero-shot", "retrieval"] = "zero-shot",
    run: Path | None = None,
    out: Path | None = None,
    dataset: DataOptions = DataOptions(),
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Score zero-shot classification, a fitted classifier or retrieval, with intervals.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        task: zero-shot classification of labelled images, or retrieval between images and their
            captions.
        run: A classifier that 'cliptune fit' wrote: it is scored, and zero-shot beside it; it
            brings its classes, texts and encoder.
        out: Folder for predictions and scores; runs/evaluate-... otherwise.
        dataset: How to read the data set.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
    """
    require_class_names(dataset)
    require_compute(model, [] if run is not None else [model.model])
    if run is not None:
        if task != "zero-shot":
            raise InputError(f"--task {task} takes no --run; a classifier finds no captions")
        from cliptune.cli.evaluate_run import evaluate_run

        evaluate_run(data, run, out, dataset=dataset, prompts=prompts, model=model, output=output)
        return
    if task == "retrieval":
        from cliptune.cli.retrieval import evaluate_retrieval

        evaluate_retrieval(data, out, dataset=dataset, prompts=prompts, model=model, output=output)
        return

    from cliptune.run_place import claim_place

    with claim_place(out, "evaluate", data) as place:
        _evaluate(data, place, dataset=dataset, prompts=prompts, model=model, output=output)


def _evaluate(
    data: str,
    place: Path,
    *,
    dataset: DataOptions,
    prompts: TemplateOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Score zero-shot classification with every template set that was asked for."""
    from cliptune.evaluation import compare_with_first
    from cliptune.features import describe_computing

    start = time.perf_counter()
    sets = choose_template_sets(prompts)
    table = open_labelled(data, dataset, n_classes=2)
    note_absent_classes(table)
    encoder, store = open_encoder(model, table), open_store(model)
    embedded = embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image)
    scores = _score(embedded, encoder, store, sets, model, output.seed)
    note_equal_classes(scores[0].equal_classes)
    computing = describe_computing(encoder, store.guard)
    comparisons = compare_with_first(scores, embedded.table.labels, seed=output.seed)
    result = {
        "task": "zero-shot",
        "data": data,
        "split": dataset.split,
        "model": encoder.name,
        **computing,
        "device": encoder.device,
        "class_names": list(embedded.table.class_names),
        "templates": {"name": sets[0].name, "texts": list(sets[0].templates)},
        **scores[0].metrics.to_dict(),
        "template_sets": {s.template_set.name: s.metrics.summary() for s in scores},
        "comparisons": {name: vars(c) for name, c in comparisons.items()},
        "equal_classes": [list(names) for names in scores[0].equal_classes],
        "unreadable": [{"image": b.id, "reason": b.reason} for b in embedded.bad],
        "seconds": time.perf_counter() - start,
        "images_per_second": embedded.images_per_second,
        "images_embedded": embedded.n_embedded,
        "run": str(place),
    }
    _write_run(place, result, embedded, scores, encoder, {"seed": output.seed, **computing})
    if output.json:
        print_json(result)
    else:
        _show(result, scores, comparisons, encoder)


def _score(
    embedded: Embedded,
    encoder: DualEncoder,
    store: FeatureStore,
    sets: Sequence[TemplateSet],
    model: ModelOptions,
    seed: int,
) -> list[ZeroShotScores]:
    from cliptune.evaluation import score_template_set

    return [
        score_template_set(
            embedded.features.vectors,
            embedded.table.labels,
            class_names=embedded.table.class_names,
            template_set=template_set,
            encode_texts=text_encoder(encoder, store, model),
            logit_scale=encoder.logit_scale,
            seed=seed,
        )
        for template_set in sets
    ]


def _write_run(
    place: Path,
    result: Mapping[str, Any],
    embedded: Embedded,
    scores: Sequence[ZeroShotScores],
    encoder: DualEncoder,
    facts: Mapping[str, Any],
) -> None:
    from cliptune.confusion import write_class_scores
    from cliptune.evaluation import write_misclassified, write_predictions
    from cliptune.runs import RunDir

    options = ("data", "split", "model", "precision", "device", "templates", "class_names")
    config = {"command": "evaluate", **{k: result[k] for k in options}}
    run = RunDir.create(place, {**config, "data_digest": embedded.table.digest()})
    write_predictions(run, embedded.table, {s.template_set.name: s.probabilities for s in scores})
    write_misclassified(run, embedded.table, scores[0].probabilities)
    write_class_scores(run, scores[0].metrics)
    run.write_json("metrics.json", result)
    run.finish(
        {
            **facts,
            "data_digest": embedded.table.digest(),
            "encoder": {
                "name": encoder.name,
                "fingerprint": encoder.fingerprint,
                "precision": encoder.precision,
                "logit_scale": encoder.logit_scale,
                "context_length": encoder.context_length,
                "preprocess": encoder.preprocess.to_dict(),
            },
        }
    )


def _show(
    result: Mapping[str, Any],
    scores: Sequence[ZeroShotScores],
    comparisons: Mapping[str, Comparison],
    encoder: DualEncoder,
) -> None:
    title = (
        f"Zero-shot on {result['data']}: {result['n']} images, "
        f"{len(result['class_names'])} classes, {encoder.name} ({encoder.precision}, "
        f"{encoder.device})"
    )
    columns = ("templates", "accuracy", "95 % interval", "balanced", "log-loss", "ECE", "against")
    rows = [
        _score_row(s.template_set.name, s.metrics, comparisons.get(s.template_set.name))
        for s in scores
    ]
    print_table(title, columns, rows)
    print_table(*_class_table(scores[0]))
    if result["images_per_second"]:
        print_text(f"{per_second(result['images_per_second'])} images/s")
    print_text(f"Predictions, scores and errors: {result['run']}")


def _score_row(name: str, metrics: Metrics, comparison: Comparison | None) -> tuple[str, ...]:
    against = "(first)"
    if comparison is not None:
        against = f"{change(comparison.difference)}, {with_p(comparison.p_value)}"
    return (
        name,
        percent(metrics.accuracy.value),
        interval(metrics.accuracy.low, metrics.accuracy.high),
        percent(metrics.balanced_accuracy.value),
        decimal(metrics.log_loss.value),
        decimal(metrics.ece.value),
        against,
    )


def _class_table(
    score: ZeroShotScores,
) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """Show all classes, or the worst of many."""
    classes = [c for c in score.metrics.per_class if c.n]
    title = f"Per class, {score.template_set.name} prompts"
    if len(classes) > _CLASSES_SHOWN:
        classes = sorted(classes, key=lambda c: c.f1)[:_CLASSES_SHOWN]
        title = (
            f"The {_CLASSES_SHOWN} classes with the lowest F1, {score.template_set.name} prompts"
        )
    rows: list[tuple[str, ...]] = [
        (c.name, str(c.n), percent(c.precision), percent(c.recall), percent(c.f1)) for c in classes
    ]
    return title, ("class", "images", "precision", "recall", "F1"), rows
