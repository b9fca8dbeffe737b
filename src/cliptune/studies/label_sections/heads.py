"""What one answer a label, learned on the frozen model, reaches and costs.

Every image was encoded once; what is timed here is choosing and fitting alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cliptune.multilabel.choosing import METHODS, N_FOLDS, ChosenLabels
from cliptune.report import Column, Figure, Table
from cliptune.report.charts import Dot, plot_dots
from cliptune.studies.label_sections.candidates import (
    LabelCandidate,
    area_cell,
    choose_for,
    keep_all,
)
from cliptune.studies.section_context import SectionContext, SectionResult
from cliptune.studies.study_data import StudyData
from cliptune.system.formatting import count

__all__ = ["answer"]


def answer(subject: StudyData, context: SectionContext) -> SectionResult:
    """Compare ways of answering on every encoder as ``fit`` does, and keep each."""
    chosen: dict[str, ChosenLabels] = {}
    candidates: list[LabelCandidate] = []
    for number, view in enumerate(subject.views):
        template_set = context.template_set(view.name)
        show = partial(_show, context, number * len(METHODS), len(subject.views) * len(METHODS))
        found = choose_for(subject, view, template_set, METHODS, show)
        chosen[view.name] = found
        candidates += keep_all(subject, view, found, context, template_set)
    n = candidates[0].n_held_out
    numbers = {
        "n_train": n,
        "models": {model: _numbers(found) for model, found in chosen.items()},
        "candidates": [candidate.to_dict() for candidate in candidates],
    }
    where = [f"On {model}: " if len(chosen) > 1 else "" for model in chosen]
    sentences = [w + one.sentence for w, one in zip(where, chosen.values(), strict=True)]
    notes = (
        f"Held out in turn, in {N_FOLDS} parts of the {count(n)} training images that spread every "
        "label alike; near-duplicates stay together. The locked test was not looked at.",
    )
    blocks = (_dots(context, chosen), _table(chosen))
    return SectionResult(" ".join(sentences), numbers, blocks, notes)


def _numbers(found: ChosenLabels) -> dict[str, Any]:  # Any: plain JSON values
    return {
        "recommended": found.recommended,
        "answer": found.answer,
        "recommendation": found.sentence,
        "gain": dict(zip(("difference", "low", "high"), found.gain, strict=True)),
        "methods": {
            name: {
                "features": one.features,
                "settings": dict(one.settings),
                "mean_average_precision": one.areas.value,
                "interval": list(one.areas.interval),
                "seconds": one.seconds,
            }
            for name, one in found.fitted.items()
        },
    }


def _dots(context: SectionContext, chosen: Mapping[str, ChosenLabels]) -> Figure:
    several = len(chosen) > 1
    dots = [
        Dot(
            f"{name}, {model}" if several else name,
            one.areas.value,
            *one.areas.interval,
            model,
            name == found.recommended,
        )
        for model, found in chosen.items()
        for name, one in found.fitted.items()
    ]
    return context.chart(
        plot_dots(dots, label="held-out mAP in %, 95 % interval"),
        "areas",
        alt="Held-out mean average precision of every method with its interval",
        caption="The diamond is what is recommended.",
    )


def _table(chosen: Mapping[str, ChosenLabels]) -> Table:
    columns = (
        Column("model", "model"),
        Column("method", "method"),
        Column("features", "features"),
        Column("held_out", "held out mAP", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("seconds", "time", "seconds"),
    )
    rows: list[tuple[Any, ...]] = []  # Any: cells
    marked = None
    for model, found in chosen.items():
        base = found.fitted["zero-shot"].areas
        for name, one in found.fitted.items():
            if marked is None and name == found.recommended:
                marked = len(rows)
            gain, low, high = base.change_to(one.areas)
            difference = None if name == "zero-shot" else {"value": gain, "low": low, "high": high}
            rows.append((model, name, one.features, area_cell(one.areas), difference, one.seconds))
    return Table("heads", "Ways of answering on the frozen model", columns, tuple(rows),
                 marked=marked)  # fmt: skip


def _show(context: SectionContext, before: int, total: int, done: int, _: int) -> None:
    context.progress("methods", before + done, total)
