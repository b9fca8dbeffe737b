"""Classifiers of several labels an image that a study could end in: each a run of its own.

It knows how to choose, keep and score them as ``fit`` does, and nothing about sections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import EncoderRecord
from cliptune.classifiers.label_classifier import LabelClassifier
from cliptune.classifiers.label_fitting import learned_from
from cliptune.multilabel.choosing import ChosenLabels, FittedLabels, choose_labels
from cliptune.multilabel.metrics import DrawnAreas, LabelSetMetrics, score_label_sets
from cliptune.prompts import TemplateSet
from cliptune.report import Section
from cliptune.runs import RunDir
from cliptune.studies.candidates import fit_command
from cliptune.studies.section_context import SectionContext, slug
from cliptune.studies.study_data import EncodedData, StudyData
from cliptune.system.atomic import atomic_path

__all__ = [
    "LabelCandidate",
    "area_cell",
    "choose_for",
    "held_out_scores",
    "keep_all",
    "read_candidates",
    "score_candidate",
]


@dataclass(frozen=True)
class LabelCandidate:
    """A classifier of several labels with its held-out score and what it took.

    Attributes:
        model: Name of the encoder.
        method: How it was made.
        features: What it takes.
        run: Its run directory, relative to the study's folder.
        command: What makes it again.
        mean_average_precision: Value, low and high, by fits that had not seen the image.
        n_held_out: Images that this rests on.
        held_out: A file beside the run with these answers, relative to the study's folder.
        seconds: What choosing and fitting took.
        n_train: Training images used.
    """

    model: str
    method: str
    features: str
    run: str
    command: str
    mean_average_precision: dict[str, float]
    n_held_out: int
    held_out: str
    seconds: float
    n_train: int

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)


def choose_for(
    subject: StudyData,
    view: EncodedData,
    template_set: TemplateSet,
    methods: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ChosenLabels:
    """Choose among methods on one encoder's features of the training images, as ``fit`` does.

    Args:
        subject: The data, divided.
        view: Whose features.
        template_set: How class names become texts.
        methods: Some of ``multilabel.choosing.METHODS``.
        progress: Called with methods done and methods in all.
    """
    assert subject.sets is not None, "images may have several labels"
    data = learned_from(
        view.vectors,
        view.trunk,
        subject.sets.truth,
        subject.sets.partition,
        text_rows=view.text_rows(template_set.templates),
        logit_scale=view.encoder.logit_scale,
        seed=subject.seed,
    )
    return choose_labels(data, methods, progress=progress)


def keep_all(
    subject: StudyData,
    view: EncodedData,
    chosen: ChosenLabels,
    context: SectionContext,
    template_set: TemplateSet,
) -> list[LabelCandidate]:
    """Write every fitted classifier as a run of its own, with its held-out answers beside it.

    Args:
        subject: The data.
        view: Whose features they were fitted on.
        chosen: The classifiers.
        context: Of the section that fitted them.
        template_set: The texts that class names were put into.
    """
    return [_keep(subject, view, one, context, template_set) for one in chosen.fitted.values()]


def _keep(
    subject: StudyData,
    view: EncodedData,
    one: FittedLabels,
    context: SectionContext,
    template_set: TemplateSet,
) -> LabelCandidate:
    name, record = f"{slug(view.name)}-{one.method}", EncoderRecord.of(view.encoder)
    config = {"model": view.name, "method": one.method, "templates": template_set.name}
    run = RunDir.create(context.folder / name, {"command": "study", **config})
    LabelClassifier(
        one.method, one.features, one.scorer, one.calibration,
        subject.table.class_names, template_set.templates, record,
    ).save(run)  # fmt: skip
    run.finish({"seed": subject.seed, "encoder": asdict(record)})
    with (
        atomic_path(context.folder / f"{name}.held_out.npy") as temporary,
        temporary.open("wb") as file,
    ):
        np.save(file, one.held_out)
    return LabelCandidate(
        model=view.name,
        method=one.method,
        features=one.features,
        run=context.file(name),
        command=fit_command(subject, view, one.method, template_set.name),
        mean_average_precision=area_cell(one.areas),
        n_held_out=len(one.held_out),
        held_out=context.file(f"{name}.held_out.npy"),
        seconds=one.seconds,
        n_train=0 if one.method == "zero-shot" else len(one.held_out),
    )


def area_cell(areas: DrawnAreas) -> dict[str, float]:
    """Return a mean average precision as a table's cell."""
    low, high = areas.interval
    return {"value": areas.value, "low": low, "high": high}


def read_candidates(sections: Mapping[str, Section]) -> list[LabelCandidate]:
    """Return the classifiers that finished sections have kept; a later section's count."""
    found: dict[tuple[str, str], LabelCandidate] = {}
    for section in sections.values():
        for values in section.numbers.get("candidates", ()):
            candidate = LabelCandidate(**values)
            found[candidate.model, candidate.method] = candidate
    return list(found.values())


def held_out_scores(candidate: LabelCandidate, *, folder: Path) -> NDArray[np.float64]:
    """Return scores of the training images by fits that had not seen them, float64 (n, C)."""
    scores: NDArray[np.float64] = np.load(folder / candidate.held_out, allow_pickle=False)
    return scores


def score_candidate(
    subject: StudyData, candidate: LabelCandidate, rows: NDArray[np.int64], *, folder: Path
) -> tuple[LabelSetMetrics, NDArray[np.float64]]:
    """Score a classifier on some rows.

    Args:
        subject: The data.
        candidate: The classifier.
        rows: int64 (n,).
        folder: The study's.

    Returns:
        The scores and the probabilities, float64 (n, C).
    """
    assert subject.sets is not None, "images may have several labels"
    classifier = LabelClassifier.load(RunDir.open(folder / candidate.run))
    view = next(view for view in subject.views if view.name == candidate.model)
    classifier.encoder.require_same(view.encoder)
    trunk = None if view.trunk is None else view.trunk[rows]
    probabilities = classifier.predict_proba(view.vectors[rows], trunk)
    calibration = classifier.calibration
    metrics = score_label_sets(
        subject.sets.truth[rows],
        probabilities,
        calibration.said(probabilities),
        class_names=classifier.class_names,
        thresholds=calibration.threshold.tolist(),
        seed=subject.seed,
    )
    return metrics, probabilities
