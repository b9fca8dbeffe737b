"""What the untrained model knows of each label, and which template set suits.

It sees the images outside the locked test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.multilabel.metrics import DrawnAreas, average_precisions, resampled_weights
from cliptune.multilabel.scorers import from_texts
from cliptune.prompts import DEFAULT_TEMPLATE_SET, TemplateSet, load_template_set
from cliptune.report import Column, Figure, Table
from cliptune.report.charts import Dot, plot_dots
from cliptune.studies.label_sections.candidates import area_cell, choose_for, keep_all
from cliptune.studies.section_context import SectionContext, SectionResult
from cliptune.studies.sentences import join_words
from cliptune.studies.study_data import EncodedData, StudyData
from cliptune.system.formatting import change, change_interval, count, interval, percent

__all__ = ["answer"]

_WORST = 4


@dataclass(frozen=True)
class _Scored:
    """One template set of one encoder."""

    template_set: TemplateSet
    areas: DrawnAreas
    per_class: NDArray[np.float64]


def answer(subject: StudyData, context: SectionContext) -> SectionResult:
    """Score every template set of every encoder on all images outside the locked test."""
    rows = subject.open_rows
    scores: dict[str, list[_Scored]] = {}
    for number, view in enumerate(subject.views):
        context.progress("template sets", number, len(subject.views))
        scores[view.name] = _score(subject, view, rows, context.settings["template_sets"])
    chosen = {model: _choose(found) for model, found in scores.items()}
    numbers = {
        "n": len(rows),
        "models": {
            model: {
                "chosen": chosen[model].template_set.name,
                "template_sets": {
                    one.template_set.name: {
                        "mean_average_precision": one.areas.value,
                        "interval": list(one.areas.interval),
                        "n": len(rows),
                    }
                    for one in found
                },
                "per_class": {
                    name: None if np.isnan(area) else float(area)
                    for name, area in zip(
                        subject.table.class_names, chosen[model].per_class, strict=True
                    )
                },
            }
            for model, found in scores.items()
        },
        "candidates": _keep(subject, context, chosen),
    }
    sentences = [_conclude(subject, m, found, chosen[m]) for m, found in scores.items()]
    blocks = (_dots(context, scores, chosen), _table(scores, chosen), _class_table(subject, chosen))
    note = f"Scored on the {count(len(rows))} images {subject.where}."
    return SectionResult(" ".join(sentences), numbers, blocks, (note,))


def _score(
    subject: StudyData, view: EncodedData, rows: NDArray[np.int64], names: list[str]
) -> list[_Scored]:
    assert subject.sets is not None, "images may have several labels"
    truth = subject.sets.truth[rows]
    weights = resampled_weights(len(rows), seed=subject.seed)
    found = []
    for name in names:
        template_set = load_template_set(name)
        texts = view.text_rows(template_set.templates)
        answers = from_texts(texts, view.encoder.logit_scale).score(view.vectors[rows])
        areas = DrawnAreas.of(truth, answers, weights)
        found.append(_Scored(template_set, areas, average_precisions(truth, answers)[0]))
    return found


def _usual(found: list[_Scored]) -> _Scored:
    """Return the set that ``fit`` takes, or the first where that one was not tried."""
    return next((one for one in found if one.template_set.name == DEFAULT_TEMPLATE_SET), found[0])


def _choose(found: list[_Scored]) -> _Scored:
    """Take the usual set unless the best is shown to be better."""
    best, usual = max(found, key=lambda one: one.areas.value), _usual(found)
    return best if usual.areas.change_to(best.areas)[1] > 0 else usual


def _keep(
    subject: StudyData, context: SectionContext, chosen: Mapping[str, _Scored]
) -> list[dict[str, Any]]:  # Any: plain JSON values
    """Keep every encoder's zero-shot classifier as a run, where a test is locked away for it."""
    assert subject.sets is not None, "images may have several labels"
    if subject.sets.problem:
        return []
    kept = []
    for view in subject.views:
        template_set = chosen[view.name].template_set
        found = choose_for(subject, view, template_set, ("zero-shot",))
        kept += keep_all(subject, view, found, context, template_set)
    return [candidate.to_dict() for candidate in kept]


def _conclude(subject: StudyData, model: str, found: list[_Scored], chosen: _Scored) -> str:
    usual, areas = _usual(found), chosen.areas
    sentences = [
        f"Without any training {model} reaches a mean average precision of {percent(areas.value)} "
        f"({interval(*areas.interval)}) with the template set {chosen.template_set.name}."
    ]
    best = max(found, key=lambda one: one.areas.value)
    if len(found) == 1:
        sentences.append("No other was tried.")
    elif best is usual:
        sentences.append("No other is better.")
    else:
        gain, low, high = usual.areas.change_to(best.areas)
        verb = "is better than" if low > 0 else "is within chance of"
        sentences.append(
            f"The set {best.template_set.name} {verb} the usual {usual.template_set.name}: "
            f"{change(gain)} points ({change_interval(low, high)})."
        )
    order = [int(c) for c in np.argsort(chosen.per_class) if not np.isnan(chosen.per_class[c])]
    if len(order) > _WORST:
        names = subject.table.class_names
        named = [f"{names[c]} ({percent(float(chosen.per_class[c]))})" for c in order[:_WORST]]
        sentences.append(f"Found least well: {join_words(named)}.")
    return " ".join(sentences)


def _dots(
    context: SectionContext,
    scores: Mapping[str, list[_Scored]],
    chosen: Mapping[str, _Scored],
) -> Figure:
    several = len(scores) > 1
    dots = [
        Dot(
            f"{model}, {one.template_set.name}" if several else one.template_set.name,
            one.areas.value,
            *one.areas.interval,
            model,
            one is chosen[model],
        )
        for model, found in scores.items()
        for one in found
    ]
    return context.chart(
        plot_dots(dots, label="mAP in %, 95 % interval"),
        "template-sets",
        alt="Mean average precision of each template set with its interval",
        caption="Mean average precision of each template set; the diamond is used from here on.",
    )


def _table(scores: Mapping[str, list[_Scored]], chosen: Mapping[str, _Scored]) -> Table:
    columns = (
        Column("model", "model"),
        Column("templates", "template set"),
        Column("n_templates", "templates", "integer"),
        Column("area", "mAP", "percent"),
        Column("difference", "against the usual", "points"),
    )
    rows: list[tuple[Any, ...]] = []  # Any: cells
    marked = None
    for model, found in scores.items():
        usual = _usual(found)
        for one in found:
            if marked is None and one is chosen[model]:
                marked = len(rows)
            gain, low, high = usual.areas.change_to(one.areas)
            difference = {"value": gain, "low": low, "high": high}
            rows.append(
                (
                    model,
                    one.template_set.name,
                    len(one.template_set.templates),
                    area_cell(one.areas),
                    None if one is usual else difference,
                )
            )
    return Table("template_sets", "Template sets", columns, tuple(rows), marked=marked)


def _class_table(subject: StudyData, chosen: Mapping[str, _Scored]) -> Table:
    assert subject.sets is not None, "images may have several labels"
    n = subject.sets.truth[subject.open_rows].sum(axis=0).tolist()
    columns = (
        Column("class", "label"),
        Column("n", "images", "integer"),
        *(Column(f"area_{k}", model, "percent") for k, model in enumerate(chosen)),
    )
    rows = []
    for code, name in enumerate(subject.table.class_names):
        areas = [float(one.per_class[code]) for one in chosen.values()]
        rows.append((name, n[code], *(None if np.isnan(area) else area for area in areas)))
    return Table("per_class", "Average precision of each label", columns, tuple(rows))
