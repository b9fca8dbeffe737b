"""``fit`` where an image may have several labels: one answer a class on cached features.

It knows features, ways of answering and the run, and nothing about how the verb is called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import EncoderRecord
from cliptune.classifiers.label_classifier import LabelClassifier, features_of
from cliptune.classifiers.label_fitting import learned_from
from cliptune.classifiers.run_encoder import encoder_in_fp32, save_run_encoder
from cliptune.errors import InputError
from cliptune.features import describe_computing
from cliptune.images import ImageTable
from cliptune.multilabel.choosing import (
    METHODS,
    N_FOLDS,
    ChosenLabels,
    FittedLabels,
    choose_labels,
)
from cliptune.multilabel.metrics import LabelSetMetrics, score_label_sets
from cliptune.multilabel.truth import membership
from cliptune.prompts import ensemble_rows
from cliptune.results.base import Templates
from cliptune.results.label_sets import FitLabelsResult, HeldOutLabels, LabelMethod
from cliptune.runs import RunDir
from cliptune.splits.label_sets import (
    LabelPartition,
    partition_label_sets,
    require_enough_labels,
)
from cliptune.workflows.dataset import data_name, read_labelled_sets
from cliptune.workflows.label_predictions import write_label_predictions
from cliptune.workflows.session import EmbeddedTable, Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.workflows.fit_heads import HeadRequest

__all__ = ["fit_labels"]


@dataclass(frozen=True)
class _Prepared:
    encoder: DualEncoder
    embedded: EmbeddedTable
    truth: NDArray[np.bool_]
    partition: LabelPartition
    text_rows: NDArray[np.float32]

    def features(self, kind: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return one kind of features of some images."""
        found = self.embedded.features
        trunk = None if found.trunk is None else found.trunk[rows]
        return features_of(kind, found.vectors[rows], trunk)


def fit_labels(request: HeadRequest, place: Path, session: Session) -> FitLabelsResult:
    """Embed once, choose by cross-validation, open the test once, leave a classifier.

    Raises:
        CliptuneError: Options or data do not fit; the message says which.
    """
    began = time.perf_counter()
    _refuse_options(request)
    prepared = _prepare(request, session)
    for sentence in prepared.partition.notes:
        session.watch.note(sentence)
    methods = METHODS if request.method == "all" else (request.method,)
    features = request.options.get("features")
    with session.watch.stage("fitting", "methods") as show:
        chosen = choose_labels(
            learned_from(
                prepared.embedded.features.vectors,
                prepared.embedded.features.trunk,
                prepared.truth,
                prepared.partition,
                text_rows=prepared.text_rows,
                logit_scale=prepared.encoder.logit_scale,
                seed=request.seed,
            ),
            methods,
            margin=request.margin,
            features=None if features in (None, "auto") else str(features),
            progress=show,
        )
    return _finish(request, prepared, chosen, place, session, began)


def _refuse_options(request: HeadRequest) -> None:
    """Refuse what has no meaning for several labels, before anything is embedded."""
    if request.method not in (*METHODS, "all"):
        raise InputError(
            f"--method {request.method} came, but the images may have several labels; use "
            f"{', '.join(METHODS)} or all"
        )
    given = {
        "--shots": request.shots is not None,
        "--val": request.val is not None,
        "--select": request.select != "accuracy",
        "--balance": request.balance != "none",
        "--class-thresholds": request.class_thresholds,
        "--unlabelled": request.unlabelled is not None,
        "--label-confidence": request.dataset.label_confidence is not None,
        "--abstain-precision": request.abstain_precision is not None,
    }
    wrong = [name for name, came in given.items() if came]
    wrong += ["--" + name.replace("_", "-") for name in request.options if name != "features"]
    if wrong:
        raise InputError(
            f"{', '.join(wrong)} came, but the images may have several labels, which are chosen by "
            "cross-validated mean average precision; leave it out"
        )


def _prepare(request: HeadRequest, session: Session) -> _Prepared:
    table = read_labelled_sets(request.data, request.dataset, session.watch)
    require_enough_labels(table, membership(table.label_sets or (), len(table.class_names)))
    encoder = session.open_encoder(request.model, table)
    embedded = session.embed(encoder, table, on_bad_image=request.dataset.on_bad_image, trunk="may")
    table, vectors = embedded.table, embedded.features.vectors
    truth = membership(table.label_sets or (), len(table.class_names))
    partition = partition_label_sets(table, truth, vectors, seed=request.seed)
    if getattr(encoder, "parts", ()):
        sentence = (
            f"{encoder.name} is kept as it was asked for: encoders are compared with each alone "
            "where an image has one label"
        )
        partition = replace(partition, notes=(*partition.notes, sentence))
    rows = ensemble_rows(
        session.text_encoder(encoder), table.class_names, request.template_set.templates
    )
    return _Prepared(encoder, embedded, truth, partition, rows)


def _finish(
    request: HeadRequest,
    prepared: _Prepared,
    chosen: ChosenLabels,
    place: Path,
    session: Session,
    began: float,
) -> FitLabelsResult:
    table, rows = prepared.embedded.table, prepared.partition.test.open()
    shipped = chosen.recommended if request.method == "all" else request.method
    probabilities = {
        name: _answer(prepared, fitted, rows) for name, fitted in chosen.fitted.items()
    }
    methods = {
        name: _to_method(fitted, _score(prepared, fitted, probabilities[name], rows, request.seed))
        for name, fitted in chosen.fitted.items()
    }
    computing = describe_computing(prepared.encoder, session.store.guard)
    result = FitLabelsResult(
        task="fit-labels",
        data=data_name(request.data),
        model=prepared.encoder.name,
        engine=computing["engine"],
        precision=computing["precision"],
        rows_checked=session.store.guard.checked,
        templates=Templates(request.template_set.name, request.template_set.templates),
        class_names=table.class_names,
        n_train=len(prepared.partition.train),
        method=shipped,
        recommended=chosen.recommended,
        recommendation=chosen.sentence,
        answer=chosen.answer,
        margin=request.margin,
        test=methods[shipped].test,
        methods=methods,
        notes=prepared.partition.notes,
        unreadable=prepared.embedded.unreadable,
        run=str(place),
        seconds_total=time.perf_counter() - began,
    )
    _write(result, request, prepared, chosen.fitted[shipped], probabilities, rows, computing)
    return result


def _answer(
    prepared: _Prepared, fitted: FittedLabels, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    scores = fitted.scorer.score(prepared.features(fitted.features, rows))
    return fitted.calibration.probabilities(scores)


def _score(
    prepared: _Prepared,
    fitted: FittedLabels,
    probabilities: NDArray[np.float64],
    rows: NDArray[np.int64],
    seed: int,
) -> LabelSetMetrics:
    return score_label_sets(
        prepared.truth[rows],
        probabilities,
        fitted.calibration.said(probabilities),
        class_names=prepared.embedded.table.class_names,
        thresholds=fitted.calibration.threshold.tolist(),
        seed=seed,
    )


def _to_method(fitted: FittedLabels, test: LabelSetMetrics) -> LabelMethod:
    areas = fitted.areas
    held_out = HeldOutLabels(areas.value, areas.interval, len(fitted.held_out), N_FOLDS)
    return LabelMethod(fitted.features, dict(fitted.settings), held_out, test, fitted.seconds)


def _write(
    result: FitLabelsResult,
    request: HeadRequest,
    prepared: _Prepared,
    shipped: FittedLabels,
    probabilities: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
    computing: Mapping[str, Any],  # Any: plain JSON values
) -> None:
    table, encoder = prepared.embedded.table, EncoderRecord.of(prepared.encoder)
    plain, digest = result.to_dict(), table.digest()
    keys = ("data", "model", "precision", "templates", "class_names")
    config = {"command": "fit", **{key: plain[key] for key in keys}, "method": request.method}
    run = RunDir.create(Path(result.run), {**config, "seed": request.seed, "data_digest": digest})
    if request.embed_encoder:
        weights = encoder_in_fp32(prepared.encoder)
        encoder = replace(save_run_encoder(run, weights), precision=encoder.precision)
    LabelClassifier(
        shipped.method, shipped.features, shipped.scorer, shipped.calibration,
        table.class_names, request.template_set.templates, encoder,
    ).save(run)  # fmt: skip
    test = table.select(rows)
    write_label_predictions(run, test, prepared.truth[rows], probabilities)
    _write_partition(run, table, prepared.partition, rows)
    run.write_json("metrics.json", plain)
    facts = {"seed": request.seed, "data_digest": digest}
    key = prepared.embedded.features.key
    run.finish({**facts, "features_key": key, **computing, "encoder": vars(encoder)})


def _write_partition(
    run: RunDir, table: ImageTable, partition: LabelPartition, test_rows: NDArray[np.int64]
) -> None:
    ids = table.ids
    parts = (("train", partition.train), ("test", test_rows))
    run.write_csv("partition.csv", ["id", "part"], ((ids[i], p) for p, rows in parts for i in rows))
