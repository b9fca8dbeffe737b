"""What the untrained model reaches: one template against ensembles, and every class.

It looks at no image of the locked test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import fit_head
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.evaluation.zero_shot import ZeroShotScores, compare_with_first, score_template_set
from cliptune.prompts import DEFAULT_TEMPLATE_SET, load_template_set
from cliptune.selection.weighing import weigh
from cliptune.studies.candidates import keep_candidate
from cliptune.studies.section_context import SectionContext, SectionResult
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sections.zero_shot_blocks import zero_shot_blocks
from cliptune.studies.sentences import is_better, is_worse, join_words
from cliptune.studies.study_data import EncodedData, StudyData
from cliptune.system.formatting import percent, points, span

__all__ = ["study_zero_shot"]

SECTION = SectionSpec(
    name="zero-shot",
    place=30,
    title="Zero-shot",
    question="What does the model know without any training, and do more prompts help?",
    function="study_zero_shot",
    needs="labels",
    rank=10,
    several="zero_shot",
    seconds=2.0,
    seconds_per_image=5e-4,
)


def study_zero_shot(subject: StudyData, context: SectionContext) -> SectionResult:
    """Score every template set of every encoder on all images outside the locked test."""
    rows = subject.open_rows
    labels = subject.table.labels[rows]
    scores: dict[str, list[ZeroShotScores]] = {}
    for number, view in enumerate(subject.views):
        context.progress("template sets", number, len(subject.views))
        scores[view.name] = _score(subject, view, rows, context.settings["template_sets"])
    comparisons = {
        model: compare_with_first(found, labels, seed=subject.seed)
        for model, found in scores.items()
    }
    chosen = {model: _choose(found, labels) for model, found in scores.items()}
    numbers = {
        "n": len(rows),
        "models": {
            model: {
                "chosen": chosen[model].template_set.name,
                "template_sets": {s.template_set.name: s.metrics.summary() for s in found},
                "comparisons": {name: vars(c) for name, c in comparisons[model].items()},
                "per_class": chosen[model].metrics.to_dict()["per_class"],
                "confusion": chosen[model].metrics.to_dict()["confusion"],
            }
            for model, found in scores.items()
        },
        "candidates": _keep(subject, context, chosen) if subject.is_divided else [],
    }
    return SectionResult(
        _conclude(scores, comparisons, chosen, labels, subject),
        numbers,
        tuple(zero_shot_blocks(context, scores, comparisons, chosen)),
        (f"Scored on the {len(rows):,} images {subject.where}.",),
    )


def _score(
    subject: StudyData, view: EncodedData, rows: NDArray[np.int64], names: Sequence[str]
) -> list[ZeroShotScores]:
    return [
        score_template_set(
            view.vectors[rows],
            subject.table.labels[rows],
            class_names=subject.table.class_names,
            template_set=load_template_set(name),
            encode_texts=view.encode_texts,
            logit_scale=view.encoder.logit_scale,
            seed=subject.seed,
        )
        for name in names
    ]


def _keep(
    subject: StudyData, context: SectionContext, chosen: Mapping[str, ZeroShotScores]
) -> list[dict[str, Any]]:  # Any: plain JSON values
    """Keep every encoder's zero-shot classifier as a run."""
    kept = []
    for view in subject.views:
        template_set = chosen[view.name].template_set
        fitted = fit_head(subject.task(view, template_set), "zero-shot")
        kept.append(keep_candidate(subject, view, fitted, context, template_set).to_dict())
    return kept


def _hits(scores: ZeroShotScores, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    hits: NDArray[np.bool_] = scores.probabilities.argmax(axis=1) == labels
    return hits


def _choose(scores: Sequence[ZeroShotScores], labels: NDArray[np.int64]) -> ZeroShotScores:
    """Take the set that ``fit`` takes unless the best is shown to be better."""
    best = max(scores, key=lambda s: s.metrics.accuracy.value)
    usual = next((s for s in scores if s.template_set.name == DEFAULT_TEMPLATE_SET), scores[0])
    better = weigh(_hits(usual, labels), _hits(best, labels)).verdict == "train"
    return best if better else usual


def _conclude(
    scores: Mapping[str, Sequence[ZeroShotScores]],
    comparisons: Mapping[str, Mapping[str, Comparison]],
    chosen: Mapping[str, ZeroShotScores],
    labels: NDArray[np.int64],
    subject: StudyData,
) -> str:
    sentences = [
        " ".join(_conclude_model(model, found, comparisons[model], chosen[model]))
        for model, found in scores.items()
    ]
    if len(scores) > 1:
        first, *others = chosen
        for other in others:
            both = [_hits(chosen[name], labels) for name in (first, other)]
            change = compare_correct(both[0], both[1], seed=subject.seed)
            verb = (
                "better than"
                if is_better(change)
                else "worse than"
                if is_worse(change)
                else "not measurably different from"
            )
            sentences.append(f"{other} is {verb} {first}: {points(change)}.")
    return " ".join(sentences)


def _verb(change: Comparison) -> str:
    if is_better(change):
        return "better than"
    return "worse than" if is_worse(change) else "not measurably different from"


def _conclude_model(
    model: str,
    found: Sequence[ZeroShotScores],
    comparisons: Mapping[str, Comparison],
    chosen: ZeroShotScores,
) -> list[str]:
    metrics, first = chosen.metrics, found[0].template_set.name
    accuracy = metrics.accuracy
    if accuracy.value == 1.0:
        lead = (
            f"Zero-shot with {model} is already perfect here: all {accuracy.n} images are right "
            f"(the 95 % interval starts at {percent(accuracy.low)})."
        )
    else:
        lead = f"Without any training {model} classifies {span(accuracy)} of the images rightly."
    best = max(found, key=lambda s: s.metrics.accuracy.value)
    against = comparisons.get(best.template_set.name)
    if len(found) == 1:
        prompts = f"Only the template set {first} was tried."
    elif against is None:
        prompts = f"No ensemble of templates is better than the set {first}."
    elif is_better(against):
        prompts = (
            f"The ensemble {best.template_set.name} is better than {first}: {points(against)}."
        )
    else:
        prompts = (
            f"The ensemble {best.template_set.name} is within chance of {first}: {points(against)}."
        )
    return [lead, prompts, *_weak_classes(metrics)]


def _weak_classes(metrics: Metrics) -> list[str]:
    worse = [c for c in metrics.per_class if c.n and c.recall_high < metrics.accuracy.value]
    if not worse:
        return ["No class is measurably harder than the average."]
    worse.sort(key=lambda c: c.recall)
    named = join_words([f"{c.name} ({percent(c.recall)})" for c in worse[:4]], most=4)
    some = (
        "Harder than the average is"
        if len(worse) == 1
        else f"{len(worse)} classes are measurably harder than the average, such as"
    )
    return [f"{some} {named}."]
