"""Classifiers that a study could end in: each a run of its own that can be used at once.

It knows how to keep and score them, and nothing about how they were chosen.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.fitting import Fitted
from cliptune.classifiers.head_data import join_tokens
from cliptune.classifiers.run_encoder import load_run_encoder
from cliptune.evaluation.metrics import Metrics, compute_metrics
from cliptune.prompts import TemplateSet
from cliptune.report import Section
from cliptune.runs import RunDir
from cliptune.studies.section_context import SectionContext, slug
from cliptune.studies.sentences import score_cell
from cliptune.studies.study_data import EncodedData, Progress, StudyData
from cliptune.system.atomic import atomic_path

__all__ = [
    "Candidate",
    "HeldOut",
    "fit_command",
    "held_out_hits",
    "keep_candidate",
    "on_shared",
    "read_candidates",
    "score_candidate",
]

_TOKENS_AT_ONCE = 512


@dataclass(frozen=True)
class HeldOut:
    """What a method answered for images that it had not learned from.

    Attributes:
        rows: int64 (n,), rows of the table, ascending.
        hits: float64 (n,), how often each was right.
    """

    rows: NDArray[np.int64]
    hits: NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        values = {name: array.tolist() for name, array in vars(self).items()}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> HeldOut:
        """Read what ``save`` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            np.asarray(values["rows"], np.int64),
            np.asarray(values["hits"], np.float64),
        )


@dataclass(frozen=True)
class Candidate:
    """A classifier with its validation score and what it took.

    Attributes:
        model: Name of the encoder it started from.
        method: How it was made.
        run: Its run directory, relative to the study's folder.
        command: What makes it again.
        accuracy: On images that no fit had seen that answered for them.
        n_held_out: How many these were.
        parameters: Numbers that were fitted.
        seconds: What fitting took.
        n_train: Training images used.
        own_encoder: The run holds an encoder whose weights were changed.
        held_out: A file beside the run, with its answers for images that it was fitted on, each
            given by a fit that had not seen it; empty where it has not learned from validation.
    """

    model: str
    method: str
    run: str
    command: str
    accuracy: dict[str, float]
    parameters: int
    seconds: float
    n_train: int
    n_held_out: int
    own_encoder: bool = False
    held_out: str = ""

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)


def keep_candidate(
    subject: StudyData,
    view: EncodedData,
    fitted: Fitted,
    context: SectionContext,
    template_set: TemplateSet,
    held_out: HeldOut | None = None,
) -> Candidate:
    """Write a fitted head as a run of its own.

    Args:
        subject: The data.
        view: Whose embeddings it was fitted on.
        fitted: The head.
        context: Of the section that fitted it.
        template_set: The texts that class names were put into.
        held_out: Its answers for images that it was fitted on, where it has learned from all.
    """
    name = f"{slug(view.name)}-{fitted.name}"
    record = EncoderRecord.of(view.encoder)
    config = {"model": view.name, "method": fitted.name, "templates": template_set.name}
    run = RunDir.create(context.folder / name, {"command": "study", **config})
    CalibratedHead(
        head=fitted.head,
        class_names=subject.table.class_names,
        templates=template_set.templates,
        encoder=record,
        temperature=fitted.temperature,
    ).save(run)
    run.finish({"seed": subject.seed, "encoder": asdict(record)})
    if held_out is not None:
        held_out.save(context.folder / f"{name}.held_out.json")
    assert fitted.val is not None, "a study compares on held-out images"
    learned = subject.partition.train if held_out is None else subject.open_rows
    return Candidate(
        model=view.name,
        method=fitted.name,
        run=context.file(name),
        command=fit_command(subject, view, fitted.name, template_set.name),
        accuracy=score_cell(fitted.val),
        parameters=fitted.head.n_parameters_,
        seconds=fitted.seconds,
        n_train=0 if fitted.name == "zero-shot" else len(learned),
        n_held_out=fitted.val.accuracy.n,
        held_out="" if held_out is None else context.file(f"{name}.held_out.json"),
    )


def fit_command(subject: StudyData, view: EncodedData, method: str, templates: str) -> str:
    """Return the command that fits a method as the study did."""
    words = ["cliptune", "fit", subject.data, *subject.reading]
    words += ["--method", method, "--templates", templates]
    if view.name != "lite":
        words += ["--model", view.name]
    if subject.seed:
        words += ["--seed", str(subject.seed)]
    if method == "attention" and subject.val_fraction != 0.2:
        words += ["--val", f"{subject.val_fraction:g}"]
    return shlex.join(words)


def read_candidates(sections: Mapping[str, Section]) -> list[Candidate]:
    """Return the classifiers that finished sections have kept, in their order.

    What a later section kept of the same model and method takes the place of an earlier one: that
    of zero-shot among the heads was calibrated on more images.
    """
    found: dict[tuple[str, str], Candidate] = {}
    for section in sections.values():
        for values in section.numbers.get("candidates", ()):
            candidate = Candidate(**values)
            found[candidate.model, candidate.method] = candidate
    return list(found.values())


def held_out_hits(
    subject: StudyData, candidate: Candidate, *, folder: Path, progress: Progress
) -> NDArray[np.float64]:
    """Return how often a classifier was right about images that it had not learned from.

    Args:
        subject: The data.
        candidate: The classifier.
        folder: The study's.
        progress: Shows (what, done, total).

    Returns:
        float64 (N,), for each row of the table; NaN where it has learned from the image, or was
        not asked: heads that were chosen on a single cut answered for that cut alone.
    """
    hits = np.full(len(subject.table), np.nan)
    if candidate.held_out:
        found = HeldOut.load(folder / candidate.held_out)
        hits[found.rows] = found.hits
        return hits
    rows = subject.partition.val
    _, probabilities = score_candidate(subject, candidate, rows, folder=folder, progress=progress)
    hits[rows] = probabilities.argmax(axis=1) == subject.table.labels[rows]
    return hits


def on_shared(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two classifiers' hits on the images that both answered for, bool (n,) each.

    Args:
        first: float64 (N,), NaN where there is no answer.
        second: The same of the other.
    """
    shared = ~(np.isnan(first) | np.isnan(second))
    return first[shared] >= 0.5, second[shared] >= 0.5


def score_candidate(
    subject: StudyData,
    candidate: Candidate,
    rows: NDArray[np.int64],
    *,
    folder: Path,
    progress: Progress,
) -> tuple[Metrics, NDArray[np.float64]]:
    """Score a classifier on some rows.

    Args:
        subject: The data.
        candidate: The classifier.
        rows: int64 (n,).
        folder: The study's.
        progress: Shows (what, done, total).

    Returns:
        The scores and the probabilities, float64 (n, C).
    """
    run = RunDir.open(folder / candidate.run)
    classifier = CalibratedHead.load(run)
    view = next(view for view in subject.views if view.name == candidate.model)
    table = subject.table.select(rows)
    if candidate.own_encoder:
        encoder = load_run_encoder(run, device=subject.device, precision="fp32")
        features = view.store.features(
            encoder, table, progress=lambda p: progress("images", p.done, p.total)
        )
        probabilities = classifier.predict_proba(features.vectors)
    else:
        classifier.encoder.require_same(view.encoder)
        probabilities = _predict(classifier, view, rows, progress)
    metrics = compute_metrics(
        table.labels, probabilities, class_names=table.class_names, seed=subject.seed
    )
    return metrics, probabilities


def _predict(
    classifier: CalibratedHead, view: EncodedData, rows: NDArray[np.int64], progress: Progress
) -> NDArray[np.float64]:
    """Predict on a view's own vectors; patches take much memory, so only some at once."""
    if classifier.needs == "pooled":
        return classifier.predict_proba(view.vectors[rows])
    if classifier.needs == "trunk":
        assert view.trunk is not None, "the head was fitted on it"
        return classifier.predict_proba(view.trunk[rows])
    parts = [
        rows[start : start + _TOKENS_AT_ONCE] for start in range(0, len(rows), _TOKENS_AT_ONCE)
    ]
    return np.concatenate(
        [
            classifier.predict_proba(join_tokens(view.vectors[part], view.tokens(part, progress)))
            for part in parts
        ]
    )
