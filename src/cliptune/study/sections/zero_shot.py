"""What the untrained model reaches: one template against ensembles, and every class.

It looks at no image of the locked test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation import ZeroShotScores, compare_with_first, score_template_set
from cliptune.fitting import fit_head
from cliptune.metrics import Metrics
from cliptune.paired import Comparison, compare_correct
from cliptune.prompts import load_template_set
from cliptune.report import Column, Table
from cliptune.report.charts import Dot, plot_dots, plot_heat_map
from cliptune.report.runs import per_class_table
from cliptune.study.candidates import keep_candidate
from cliptune.study.desk import Desk, Finding, slug
from cliptune.study.subject import Subject, View
from cliptune.study.words import (
    SIGNIFICANT,
    comparison_cell,
    is_better,
    is_worse,
    join_words,
    percent,
    points,
    score_cell,
    span,
)

__all__ = ["study_zero_shot"]

_CONFUSED = 12


def study_zero_shot(subject: Subject, desk: Desk) -> Finding:
    """Score every template set of every encoder on all images outside the locked test."""
    rows = subject.open_rows
    labels = subject.table.labels[rows]
    scores: dict[str, list[ZeroShotScores]] = {}
    for number, view in enumerate(subject.views):
        desk.progress("template sets", number, len(subject.views))
        scores[view.name] = _score(subject, view, rows, desk.settings["template_sets"])
    comparisons = {
        model: compare_with_first(found, labels, seed=subject.seed)
        for model, found in scores.items()
    }
    chosen = {model: _choose(found, labels, subject.seed) for model, found in scores.items()}
    numbers = {
        "n": len(rows),
        "models": {
            model: {
                "chosen": chosen[model].template_set.name,
                "template_sets": {s.template_set.name: s.metrics.summary() for s in found},
                "comparisons": {name: vars(c) for name, c in comparisons[model].items()},
                "per_class": chosen[model].metrics.to_dict()["per_class"],
                "confusion": chosen[model].metrics.confusion.tolist(),
            }
            for model, found in scores.items()
        },
        "candidates": _keep(subject, desk, chosen) if subject.is_divided else [],
    }
    return Finding(
        _conclude(scores, comparisons, chosen, labels, subject),
        numbers,
        tuple(_blocks(desk, scores, comparisons, chosen)),
        (f"Scored on the {len(rows):,} images {subject.where}.",),
    )


def _score(
    subject: Subject, view: View, rows: NDArray[np.int64], names: Sequence[str]
) -> list[ZeroShotScores]:
    return [
        score_template_set(
            view.vectors[rows],
            subject.table.labels[rows],
            class_names=subject.table.class_names,
            template_set=load_template_set(name),
            encode_texts=partial(view.store.text_features, view.encoder),
            logit_scale=view.encoder.logit_scale,
            seed=subject.seed,
        )
        for name in names
    ]


def _keep(
    subject: Subject, desk: Desk, chosen: Mapping[str, ZeroShotScores]
) -> list[dict[str, Any]]:  # Any: plain JSON values
    """Keep every encoder's zero-shot classifier as a run."""
    kept = []
    for view in subject.views:
        template_set = chosen[view.name].template_set
        fitted = fit_head(subject.task(view, template_set), "zero-shot")
        kept.append(keep_candidate(subject, view, fitted, desk, template_set).to_dict())
    return kept


def _hits(scores: ZeroShotScores, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    hits: NDArray[np.bool_] = scores.probabilities.argmax(axis=1) == labels
    return hits


def _choose(
    scores: Sequence[ZeroShotScores], labels: NDArray[np.int64], seed: int
) -> ZeroShotScores:
    """Take the set with the fewest templates that cannot be told from the best."""
    best = max(scores, key=lambda s: s.metrics.accuracy.value)
    as_good = [
        s
        for s in scores
        if compare_correct(_hits(s, labels), _hits(best, labels), seed=seed).p_value >= SIGNIFICANT
    ]
    return min(as_good, key=lambda s: len(s.template_set.templates))


def _blocks(
    desk: Desk,
    scores: Mapping[str, Sequence[ZeroShotScores]],
    comparisons: Mapping[str, Mapping[str, Comparison]],
    chosen: Mapping[str, ZeroShotScores],
) -> list[Any]:  # Any: blocks of a report
    several = len(scores) > 1
    dots, rows = [], []
    for model, found in scores.items():
        for one in found:
            name, accuracy = one.template_set.name, one.metrics.accuracy
            label = f"{model}, {name}" if several else name
            marked = one is chosen[model]
            dots.append(Dot(label, accuracy.value, accuracy.low, accuracy.high, model, marked))
            rows.append(_row(model, one, comparisons[model].get(name)))
    blocks: list[Any] = [  # Any: as above
        desk.chart(
            plot_dots(dots, label="accuracy in %, 95 % interval"),
            "template-sets",
            alt="Accuracy of each template set with its interval",
            caption="Accuracy of each template set; the diamond is used from here on.",
        ),
        _sets_table(rows),
    ]
    for model, one in chosen.items():
        suffix = f", {model}" if several else ""
        stem = f"-{slug(model)}" if several else ""
        matrix = one.metrics.confusion
        if len(matrix) <= _CONFUSED:
            names = [c.name for c in one.metrics.per_class]
            blocks.append(
                desk.chart(
                    plot_heat_map(
                        matrix.astype(float), rows=names, columns=names, row_label="true",
                        column_label="predicted",
                    ),
                    f"confusion{stem}",
                    alt="Confusion matrix: true classes in rows, predicted ones in columns",
                    caption=f"Confusion matrix{suffix}: rows are true classes.",
                )
            )  # fmt: skip
        else:
            blocks.append(_confusions_table(one, f"confusions{stem}", suffix))
        classes = one.metrics.to_dict()["per_class"]
        title = f"Per class, {one.template_set.name} templates{suffix}"
        blocks.append(per_class_table(classes, title=title, name=f"per-class{stem}"))
    return blocks


def _row(
    model: str, one: ZeroShotScores, against: Comparison | None
) -> tuple[Any, ...]:  # Any: cells
    return (
        model,
        one.template_set.name,
        len(one.template_set.templates),
        score_cell(one.metrics),
        one.metrics.balanced_accuracy.value,
        one.metrics.log_loss.value,
        one.metrics.ece.value,
        comparison_cell(against) if against else None,
        against.p_value if against else None,
    )


def _sets_table(rows: Sequence[tuple[Any, ...]]) -> Table:  # Any: cells
    columns = (
        Column("model", "model"),
        Column("templates", "template set"),
        Column("n_templates", "templates", "integer"),
        Column("accuracy", "accuracy", "percent"),
        Column("balanced_accuracy", "balanced", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("ece", "calibration error", "number"),
        Column("difference", "against one template", "points"),
        Column("p_value", "p", "p"),
    )
    return Table("template-sets", "One template against ensembles", columns, tuple(rows))


def _confusions_table(one: ZeroShotScores, name: str, suffix: str) -> Table:
    matrix = one.metrics.confusion.copy()
    np.fill_diagonal(matrix, 0)
    names = [c.name for c in one.metrics.per_class]
    order = np.argsort(-matrix, axis=None, kind="stable")[:20]
    pairs = [divmod(int(place), len(names)) for place in order]
    support = one.metrics.confusion.sum(axis=1)
    rows = [
        (
            names[true],
            names[said],
            int(matrix[true, said]),
            float(matrix[true, said] / support[true]),
        )
        for true, said in pairs
        if matrix[true, said]
    ]
    columns = (
        Column("class", "true class"),
        Column("taken_for", "taken for"),
        Column("n", "images", "integer"),
        Column("share", "of the class", "percent"),
    )
    return Table(name, f"The most frequent confusions{suffix}", columns, tuple(rows), shown=8)


def _conclude(
    scores: Mapping[str, Sequence[ZeroShotScores]],
    comparisons: Mapping[str, Mapping[str, Comparison]],
    chosen: Mapping[str, ZeroShotScores],
    labels: NDArray[np.int64],
    subject: Subject,
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
