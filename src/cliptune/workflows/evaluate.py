"""``evaluate``: scores of zero-shot, of a fitted classifier, or of retrieval.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cliptune.errors import InputError, SeveralLabelsError
from cliptune.workflows.dataset import (
    data_name,
    note_absent_classes,
    open_labelled,
    open_table,
)
from cliptune.workflows.options import (
    ComputeOptions,
    DataOptions,
    Prompts,
    Shards,
    read_prompts,
)
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.prompting import choose_template_sets, note_equal_classes
from cliptune.workflows.requirements import (
    refuse_beside_run,
    require_class_names,
    require_compute,
    require_runs,
)
from cliptune.workflows.session import EmbeddedTable, Session
from cliptune.workflows.shard_workers import find_workers

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.evaluation.zero_shot import ZeroShotScores
    from cliptune.prompts import TemplateSet
    from cliptune.results.label_sets import EvaluateLabelsResult
    from cliptune.results.retrieval import RetrievalResult
    from cliptune.results.scores import EvaluateResult, FittedEvaluateResult
    from cliptune.runs import RunDir
    from cliptune.workflows.classifier import Classifier
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

    Scored = EvaluateResult | FittedEvaluateResult | RetrievalResult | EvaluateLabelsResult

__all__ = ["evaluate"]


def evaluate(
    data: Data,
    *,
    task: Literal["zero-shot", "retrieval"] = "zero-shot",
    run: str | Path | Classifier | None = None,
    model: Model = "lite",
    prompts: Prompts = (),
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    shards: Shards | None = None,
    seed: int = 0,
    progress: ProgressLike = None,
) -> Scored:
    """Score zero-shot classification, a fitted classifier or retrieval, with intervals.

    Args:
        data: A data set by name, or a table.
        task: ``zero-shot`` classification of labelled images, or ``retrieval`` between images and
            their captions.
        run: A classifier that ``fit`` wrote, or one that is loaded: it is scored, and zero-shot
            beside it; it brings its classes, texts and encoder.
        model: Which encoder, by name or loaded.
        prompts: How class names become texts; several template sets are compared.
        out: Folder for predictions and scores; ``runs/evaluate-...`` otherwise.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        shards: Who embeds the images that the cache lacks, shard by shard; this process otherwise.
        seed: Of the bootstraps.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, model, run or place do not fit; the message says which.
        ShardsFailedError: Shards failed, each of which is told; the others are kept.
    """
    from cliptune.runs.place import claim_place
    from cliptune.system.bounds import MAX_SEED, require_count

    options = read_prompts(prompts)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    require_class_names(dataset)
    require_compute(compute, [] if run is not None else [model])
    _require_task(task, run, options.templates or options.template)
    if run is not None:
        refuse_beside_run(options, model)
        if isinstance(run, str | Path):
            require_runs([Path(run)])
    session = Session(compute, watching(progress), find_workers(shards))
    place = None if out is None else Path(out)
    with claim_place(place, "evaluate", data_name(data)) as claimed:
        if isinstance(run, str | Path) and (labels := _label_run(run)) is not None:
            from cliptune.workflows.evaluate_labels import evaluate_label_run

            return evaluate_label_run(data, labels, claimed, session, dataset, seed)
        if run is not None:
            return _evaluate_run(data, run, claimed, session, dataset, seed)
        if task == "retrieval":
            return _evaluate_retrieval(data, model, claimed, session, dataset, seed)
        sets = choose_template_sets(options)
        try:
            return _evaluate_zero_shot(data, model, sets, claimed, session, dataset, seed)
        except SeveralLabelsError:
            from cliptune.workflows.evaluate_labels import evaluate_labels_zero_shot

            return evaluate_labels_zero_shot(data, model, sets[0], claimed, session, dataset, seed)


def _label_run(path: str | Path) -> RunDir | None:
    """Open a run that answers several labels an image; None where it answers one."""
    from cliptune.classifiers.label_classifier import holds_label_classifier
    from cliptune.runs import RunDir

    run = RunDir.open(path)
    return run if holds_label_classifier(run) else None


def _require_task(task: str, run: object, templates: Sequence[str]) -> None:
    if task not in ("zero-shot", "retrieval"):
        raise InputError(f"--task {task!r} came; expected zero-shot or retrieval")
    if run is not None and task != "zero-shot":
        raise InputError(f"--task {task} takes no --run; a classifier finds no captions")
    if task == "retrieval" and templates:
        raise InputError("--task retrieval takes captions as they are; leave out the templates")


def _evaluate_zero_shot(
    data: Data,
    model: Model,
    sets: Sequence[TemplateSet],
    place: Path,
    session: Session,
    dataset: DataOptions,
    seed: int,
) -> EvaluateResult:
    """Score zero-shot classification with every template set that was asked for."""
    from cliptune.evaluation.zero_shot import compare_with_first
    from cliptune.features import describe_computing
    from cliptune.results.base import Templates
    from cliptune.results.scores import EvaluateResult

    start = time.perf_counter()
    table = open_labelled(data, dataset, session.watch, n_classes=2)
    note_absent_classes(table, session.watch)
    encoder = session.open_encoder(model, table)
    embedded = session.embed(encoder, table, on_bad_image=dataset.on_bad_image)
    scores = _score(embedded, encoder, session, sets, seed)
    note_equal_classes(scores[0].equal_classes, session.watch)
    computing = describe_computing(encoder, session.store.guard)
    result = EvaluateResult(
        task="zero-shot",
        data=data_name(data),
        split=dataset.split,
        model=encoder.name,
        engine=computing["engine"],
        precision=encoder.precision,
        rows_checked=session.store.guard.checked,
        device=encoder.device,
        class_names=embedded.table.class_names,
        templates=Templates(sets[0].name, sets[0].templates),
        metrics=scores[0].metrics,
        template_sets={s.template_set.name: s.metrics.headline() for s in scores},
        comparisons=compare_with_first(scores, embedded.table.labels, seed=seed),
        equal_classes=scores[0].equal_classes,
        unreadable=embedded.unreadable,
        seconds=time.perf_counter() - start,
        images_per_second=embedded.images_per_second,
        images_embedded=embedded.n_embedded,
        run=str(place),
    )
    _write_zero_shot(place, result, embedded, scores, encoder, {"seed": seed, **computing})
    return result


def _score(
    embedded: EmbeddedTable,
    encoder: DualEncoder,
    session: Session,
    sets: Sequence[TemplateSet],
    seed: int,
) -> list[ZeroShotScores]:
    from cliptune.evaluation.zero_shot import score_template_set

    return [
        score_template_set(
            embedded.features.vectors,
            embedded.table.labels,
            class_names=embedded.table.class_names,
            template_set=template_set,
            encode_texts=session.text_encoder(encoder),
            logit_scale=encoder.logit_scale,
            seed=seed,
        )
        for template_set in sets
    ]


def _write_zero_shot(
    place: Path,
    result: EvaluateResult,
    embedded: EmbeddedTable,
    scores: Sequence[ZeroShotScores],
    encoder: DualEncoder,
    facts: Mapping[str, Any],  # Any: plain JSON values
) -> None:
    from cliptune.evaluation.confusion import write_class_scores
    from cliptune.evaluation.zero_shot import write_misclassified, write_predictions
    from cliptune.runs import RunDir

    plain = result.to_dict()
    options = ("data", "split", "model", "precision", "device", "templates", "class_names")
    config = {"command": "evaluate", **{k: plain[k] for k in options}}
    run = RunDir.create(place, {**config, "data_digest": embedded.table.digest()})
    write_predictions(run, embedded.table, {s.template_set.name: s.probabilities for s in scores})
    write_misclassified(run, embedded.table, scores[0].probabilities)
    write_class_scores(run, scores[0].metrics)
    run.write_json("metrics.json", plain)
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


def _evaluate_run(
    data: Data,
    run: str | Path | Classifier,
    place: Path,
    session: Session,
    dataset: DataOptions,
    seed: int,
) -> FittedEvaluateResult:
    """Score the classifier of a run on a labelled data set, and zero-shot beside it."""
    from cliptune.workflows.classifier import open_classifier
    from cliptune.workflows.evaluate_run import Scoring, write_scores
    from cliptune.workflows.fitted_scores import count_learned_from, match_classes, score_classifier

    start = time.perf_counter()
    table = open_labelled(data, dataset, session.watch)
    classifier = open_classifier(run, session, table)
    table = match_classes(table, classifier.class_names)
    note_absent_classes(table, session.watch)
    learned_from = count_learned_from(classifier.run, data_name(data), table)
    if learned_from:
        session.watch.note(
            f"{learned_from} of these {len(table)} images were used to learn or choose this "
            "classifier; scores on them flatter it"
        )
    embedded, X = classifier.embed(table, on_bad_image=dataset.on_bad_image)
    scores = score_classifier(
        classifier.calibrated,
        X,
        embedded.features.vectors,
        embedded.table.labels,
        encode_texts=session.text_encoder(classifier.encoder),
        logit_scale=classifier.encoder.logit_scale,
        seed=seed,
    )
    return write_scores(
        place,
        Scoring(classifier, embedded, scores, data_name(data), dataset.split, learned_from, seed),
        start=start,
    )


def _evaluate_retrieval(
    data: Data,
    model: Model,
    place: Path,
    session: Session,
    dataset: DataOptions,
    seed: int,
) -> RetrievalResult:
    """Rank every image against all captions and every caption against all images."""
    from cliptune.classifiers.calibrated_head import EncoderRecord
    from cliptune.features import describe_computing
    from cliptune.images import list_captions
    from cliptune.results.plain import to_plain
    from cliptune.results.retrieval import RetrievalResult
    from cliptune.workflows.retrieval_run import CaptionedVectors, write_retrieval_run

    start = time.perf_counter()
    table = open_table(data, dataset, session.watch, check=list_captions)
    encoder = session.open_encoder(model, table)
    embedded = session.embed(encoder, table, on_bad_image=dataset.on_bad_image)
    captions, _ = list_captions(embedded.table)
    texts = session.text_encoder(encoder)(list(captions))
    reported = write_retrieval_run(
        place,
        CaptionedVectors(
            table=embedded.table,
            images=embedded.features.vectors,
            texts=texts,
            encoder=EncoderRecord.of(encoder),
            contents=embedded.features.contents,
        ),
        asked={
            "data": data_name(data),
            "split": dataset.split,
            "model": encoder.name,
            "precision": encoder.precision,
            "device": encoder.device,
        },
        facts={
            "unreadable": to_plain(embedded.unreadable),
            "images_per_second": embedded.images_per_second,
            "images_embedded": embedded.n_embedded,
        },
        seed=seed,
        computing=describe_computing(encoder, session.store.guard),
    )
    return RetrievalResult.from_dict(reported | {"seconds": time.perf_counter() - start})
