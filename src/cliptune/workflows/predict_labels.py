"""``predict`` with a classifier of several labels an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cliptune.classifiers.label_classifier import LabelClassifier
from cliptune.features import describe_computing
from cliptune.results.label_sets import ImageLabels, PredictLabelsResult
from cliptune.results.predictions import LabelProbability
from cliptune.runs import RunDir
from cliptune.workflows.own_weights import open_run_encoder
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["predict_labels"]


def predict_labels(
    table: ImageTable,
    run: RunDir,
    top: int,
    session: Session,
    on_bad_image: Literal["fail", "skip"],
) -> PredictLabelsResult:
    """Say of every image how probable each label is, and which reach their threshold.

    Raises:
        CliptuneError: The run or an image does not fit; the message says which.
    """
    classifier = LabelClassifier.load(run)
    encoder = open_run_encoder(session, run, table, labels=classifier.class_names)
    trunk: Literal["must", "no"] = "must" if classifier.needs_trunk else "no"
    embedded = session.embed(encoder, table, on_bad_image=on_bad_image, trunk=trunk, run=run)
    features = embedded.features
    probabilities = classifier.predict_proba(features.vectors, features.trunk)
    said = classifier.calibration.said(probabilities)
    names = classifier.class_names
    predictions = tuple(
        ImageLabels(
            source.id,
            tuple(
                LabelProbability(names[c], float(row[c]))
                for c in (-row).argsort(kind="stable")[:top]
            ),
            tuple(name for name, one in zip(names, present.tolist(), strict=True) if one),
        )
        for source, row, present in zip(embedded.table.sources, probabilities, said, strict=True)
    )
    computing = describe_computing(encoder, session.store.guard)
    return PredictLabelsResult(
        task="predict-labels",
        model=encoder.name,
        method=classifier.method,
        predictions=predictions,
        unreadable=embedded.unreadable,
        engine=computing["engine"],
        precision=computing["precision"],
        rows_checked=session.store.guard.checked,
    )
