"""The part of ``cliptune evaluate`` that scores a fitted classifier."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.cli.console import note, print_json, print_table, print_text
from cliptune.cli.early import refuse_beside_run, require_runs
from cliptune.cli.fitted import open_run
from cliptune.cli.open_data import note_absent_classes, open_labelled
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import open_store, text_encoder
from cliptune.formatting import change as write_change
from cliptune.formatting import decimal, interval, percent, with_p

if TYPE_CHECKING:
    from cliptune.cli.fitted import OpenedRun
    from cliptune.images import ImageTable
    from cliptune.run_evaluation import RunScores

__all__ = ["evaluate_run"]


def evaluate_run(
    data: str,
    run: Path,
    out: Path | None,
    *,
    dataset: DataOptions,
    prompts: TemplateOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Score the classifier of a run on a labelled data set, and zero-shot beside it."""
    from cliptune.run_place import claim_place

    refuse_beside_run(prompts, model)
    require_runs([run])
    with claim_place(out, "evaluate", data) as place:
        _evaluate(data, run, place, dataset=dataset, model=model, output=output)


def _evaluate(
    data: str,
    run: Path,
    place: Path,
    *,
    dataset: DataOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    from cliptune.features import describe_computing
    from cliptune.run_evaluation import count_learned_from, match_classes, score_classifier

    start = time.perf_counter()
    table = open_labelled(data, dataset)
    opened = open_run(run, model, table)
    table = match_classes(table, opened.classifier.class_names)
    note_absent_classes(table)
    learned_from = count_learned_from(opened.run, data, table)
    if learned_from:
        note(
            f"{learned_from} of these {len(table)} images were used to learn or choose this "
            "classifier; scores on them flatter it"
        )
    store = open_store(model)
    embedded, X = opened.embed(table, store, on_bad_image=dataset.on_bad_image)
    scores = score_classifier(
        opened.classifier,
        X,
        embedded.features.vectors,
        embedded.table.labels,
        encode_texts=text_encoder(opened.encoder, store, model),
        logit_scale=opened.encoder.logit_scale,
        seed=output.seed,
    )
    computing = describe_computing(opened.encoder, store.guard)
    result = {
        "task": "fitted",
        "data": data,
        "split": dataset.split,
        **_identity(opened),
        **computing,
        **scores.to_dict(),
        "n_learned_from": learned_from,
        "unreadable": [{"image": b.id, "reason": b.reason} for b in embedded.bad],
        "seconds": time.perf_counter() - start,
        "images_per_second": embedded.images_per_second,
        "images_embedded": embedded.n_embedded,
        "run": str(place),
    }
    _write(place, result, embedded.table, scores, opened, {"seed": output.seed, **computing})
    if output.json:
        print_json(result)
    else:
        _show(result)


def _identity(opened: OpenedRun) -> dict[str, Any]:  # Any: plain JSON values
    classifier, encoder = opened.classifier, opened.encoder
    return {
        "classifier": str(opened.run.path),
        "method": classifier.head.name,
        "model": encoder.name,
        "precision": encoder.precision,
        "device": encoder.device,
        "class_names": list(classifier.class_names),
        "templates": {"name": "run", "texts": list(classifier.templates)},
    }


def _write(
    place: Path,
    result: Mapping[str, Any],
    table: ImageTable,
    scores: RunScores,
    opened: OpenedRun,
    facts: Mapping[str, Any],
) -> None:
    from cliptune.confusion import write_class_scores
    from cliptune.evaluation import write_misclassified, write_predictions
    from cliptune.runs import RunDir

    options = ("data", "split", *_identity(opened))
    config = {"command": "evaluate", **{k: result[k] for k in options}}
    run = RunDir.create(place, {**config, "data_digest": table.digest()})
    write_predictions(
        run,
        table,
        {"fitted": scores.probabilities, "zero-shot": scores.zero_shot_probabilities},
    )
    write_misclassified(run, table, scores.probabilities)
    write_class_scores(run, scores.metrics)
    run.write_json("metrics.json", result)
    encoder = asdict(opened.classifier.encoder) | {"precision": opened.encoder.precision}
    run.finish({**facts, "data_digest": table.digest(), "encoder": encoder})


def _show(result: Mapping[str, Any]) -> None:
    change = result["against_zero_shot"]
    print_table(
        f"{result['method']} on {result['data']}: {result['n']} images, "
        f"{len(result['class_names'])} classes, {result['model']} ({result['precision']})",
        ("classifier", "accuracy", "95 % interval", "balanced", "log-loss", "ECE", "against"),
        [
            _row(
                result["method"],
                result,
                f"{write_change(change['difference'])}, {with_p(change['p_value'])}",
            ),
            _row("zero-shot", result["zero_shot"], ""),
        ],
    )
    if result["abstention"]:
        kept = result["abstention"]
        right = "" if kept["precision"] is None else f", {percent(kept['precision'])} of them right"
        print_text(f"It answers {percent(kept['coverage'])} of the images{right}.")
    print_text(f"Predictions, scores and errors: {result['run']}")


def _row(name: str, scores: Mapping[str, Any], against: str) -> tuple[str, ...]:
    return (
        name,
        percent(scores["accuracy"]),
        interval(*scores["interval"]),
        percent(scores["balanced_accuracy"]),
        decimal(scores["log_loss"]),
        decimal(scores["ece"]),
        against,
    )
