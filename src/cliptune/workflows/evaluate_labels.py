"""``evaluate`` where an image may have several labels: zero-shot, or a fitted classifier.

It knows features, scores and the run, and nothing about how the verb is called.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.label_classifier import LabelClassifier
from cliptune.errors import DataError
from cliptune.features import describe_computing
from cliptune.images import ImageTable
from cliptune.multilabel.calibration import fit_calibration
from cliptune.multilabel.metrics import score_label_sets
from cliptune.multilabel.scorers import from_texts
from cliptune.multilabel.truth import membership, require_scorable
from cliptune.prompts import ensemble_rows
from cliptune.results.base import Templates
from cliptune.results.label_sets import EvaluateLabelsResult
from cliptune.runs import RunDir
from cliptune.splits.stratify import stratify
from cliptune.workflows.dataset import data_name, read_labelled_sets
from cliptune.workflows.label_predictions import write_label_predictions
from cliptune.workflows.options import DataOptions
from cliptune.workflows.own_weights import open_run_encoder
from cliptune.workflows.session import EmbeddedTable, Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.prompts import TemplateSet
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = ["evaluate_label_run", "evaluate_labels_zero_shot"]

_FOLDS = 5


@dataclass(frozen=True)
class _Answers:
    """What was said of every image, and by whom."""

    encoder: DualEncoder
    embedded: EmbeddedTable
    truth: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    said: NDArray[np.bool_]
    thresholds: list[float]
    method: str
    templates: Templates
    class_names: tuple[str, ...]
    classifier: str | None


def evaluate_labels_zero_shot(
    data: Data,
    model: Model,
    template_set: TemplateSet,
    place: Path,
    session: Session,
    dataset: DataOptions,
    seed: int,
) -> EvaluateLabelsResult:
    """Score class texts against images; thresholds come from folds that they are not used on.

    Raises:
        CliptuneError: Data, model or place do not fit; the message says which.
    """
    began = time.perf_counter()
    table = read_labelled_sets(data, dataset, session.watch, usual_split=True)
    require_scorable(table.label_sets or (), at_least=2, of=repr(table.root))
    encoder = session.open_encoder(model, table)
    embedded = session.embed(encoder, table, on_bad_image=dataset.on_bad_image)
    table = embedded.table
    require_scorable(table.label_sets or (), at_least=2, of=repr(table.root))
    rows = ensemble_rows(session.text_encoder(encoder), table.class_names, template_set.templates)
    scores = from_texts(rows, encoder.logit_scale).score(embedded.features.vectors)
    truth = membership(table.label_sets or (), len(table.class_names))
    probabilities, said, thresholds = _out_of_fold(scores, truth, seed)
    answers = _Answers(
        encoder, embedded, truth, probabilities, said, thresholds, "zero-shot",
        Templates(template_set.name, template_set.templates), table.class_names, None,
    )  # fmt: skip
    return _finish(answers, data, place, session, dataset, seed, began)


def evaluate_label_run(
    data: Data, run: RunDir, place: Path, session: Session, dataset: DataOptions, seed: int
) -> EvaluateLabelsResult:
    """Score a fitted classifier of several labels.

    Raises:
        CliptuneError: Data, run or place do not fit; the message says which.
    """
    began = time.perf_counter()
    classifier = LabelClassifier.load(run)
    table = read_labelled_sets(data, dataset, session.watch, usual_split=True)
    require_scorable(table.label_sets or (), at_least=1, of=repr(table.root))
    encoder = open_run_encoder(session, run, table, labels=classifier.class_names)
    embedded = session.embed(
        encoder,
        table,
        on_bad_image=dataset.on_bad_image,
        trunk="must" if classifier.needs_trunk else "no",
        run=run,
    )
    features = embedded.features
    probabilities = classifier.predict_proba(features.vectors, features.trunk)
    answers = _Answers(
        encoder, embedded, _truth_in(embedded.table, classifier), probabilities,
        classifier.calibration.said(probabilities), classifier.calibration.threshold.tolist(),
        classifier.method, Templates("run", classifier.templates), classifier.class_names,
        str(run.path),
    )  # fmt: skip
    return _finish(answers, data, place, session, dataset, seed, began)


def _truth_in(table: ImageTable, classifier: LabelClassifier) -> NDArray[np.bool_]:
    """Return the labels of the images in the classifier's order.

    Raises:
        DataError: The images have labels that it does not know.
    """
    unknown = [name for name in table.class_names if name not in classifier.class_names]
    if unknown:
        raise DataError(
            f"the images have labels that the classifier does not know: "
            f"{', '.join(map(repr, unknown[:5]))}; it knows "
            f"{', '.join(map(repr, classifier.class_names[:5]))}"
        )
    own = membership(table.label_sets or (), len(table.class_names))
    truth = np.zeros((len(table), len(classifier.class_names)), dtype=bool)
    places = [classifier.class_names.index(name) for name in table.class_names]
    truth[:, places] = own
    return truth


def _out_of_fold(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[float]]:
    """Answer every image by a calibration of the other folds."""
    n_folds = min(_FOLDS, len(scores))
    folds = stratify(truth, np.arange(len(scores)), [1 / n_folds] * n_folds, seed=seed)
    probabilities, said = np.zeros(scores.shape), np.zeros(scores.shape, dtype=bool)
    for fold in np.unique(folds).tolist():
        own = folds == fold
        calibration = fit_calibration(scores[~own], truth[~own])
        probabilities[own] = calibration.probabilities(scores[own])
        said[own] = calibration.said(probabilities[own])
    return probabilities, said, fit_calibration(scores, truth).threshold.tolist()


def _finish(
    answers: _Answers,
    data: Data,
    place: Path,
    session: Session,
    dataset: DataOptions,
    seed: int,
    began: float,
) -> EvaluateLabelsResult:
    table, names = answers.embedded.table, answers.class_names
    computing = describe_computing(answers.encoder, session.store.guard)
    metrics = score_label_sets(
        answers.truth, answers.probabilities, answers.said,
        class_names=names, thresholds=answers.thresholds, seed=seed,
    )  # fmt: skip
    result = EvaluateLabelsResult(
        task="label-sets",
        data=data_name(data),
        split=dataset.split,
        model=answers.encoder.name,
        engine=computing["engine"],
        precision=computing["precision"],
        rows_checked=session.store.guard.checked,
        classifier=answers.classifier,
        method=answers.method,
        templates=answers.templates,
        class_names=names,
        metrics=metrics,
        unreadable=answers.embedded.unreadable,
        seconds=time.perf_counter() - began,
        run=str(place),
    )
    plain = result.to_dict()
    keys = ("data", "split", "classifier", "method", "model", "precision", "class_names")
    digest = table.digest()
    config = {"command": "evaluate", **{key: plain[key] for key in keys}}
    run = RunDir.create(place, {**config, "data_digest": digest})
    write_label_predictions(
        run, table, answers.truth, {answers.method: answers.probabilities}, names=names
    )
    run.write_json("metrics.json", plain)
    run.finish({"seed": seed, **computing, "data_digest": digest})
    return result
