"""How far a careful recipe and an attention head go beyond what is simple.

The recipe: the head first, then everything at a small rate, light augmentation, warm-up, and a
mixture with the starting weights (arXiv:2202.10054, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import Fitted, fit_head
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.finetuning.options import FinetuneOptions
from cliptune.report import Column, Table
from cliptune.report.charts import Dot, plot_dots
from cliptune.selection.weighing import MARGIN
from cliptune.studies.candidates import (
    Candidate,
    held_out_hits,
    keep_candidate,
    on_shared,
    read_candidates,
)
from cliptune.studies.section_context import SectionContext, SectionResult, TooSmallError
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sentences import comparison_cell, is_better, is_worse, join_words, score_cell
from cliptune.studies.study_data import EncodedData, StudyData, spread_classes
from cliptune.studies.tuning import tune
from cliptune.system.formatting import duration, points

__all__ = ["study_beyond"]

SECTION = SectionSpec(
    name="beyond",
    place=90,
    title="Further",
    question="How far do a careful recipe and an attention head go beyond?",
    function="study_beyond",
    draws_on=("zero-shot", "fine-tuning", "heads"),
)

_MOST_TOKEN_BYTES = 1_500_000_000


@dataclass(frozen=True)
class _Attempt:
    """One method that goes further, beside the simple ones on images that neither has seen."""

    candidate: Candidate
    val: Metrics
    against_zero_shot: Comparison
    against_simple: Comparison
    simple: str


def study_beyond(subject: StudyData, context: SectionContext) -> SectionResult:
    """Try the attention head and the careful recipe on every encoder there is time for."""
    attempts: list[_Attempt] = []
    records: dict[str, Any] = {}  # Any: plain JSON values
    for view in subject.views:
        zero_shot = _on_validation(
            subject, subject.zero_shot_hits(view, context.template_set(view.name))
        )
        simple, simple_hits = _best_simple(subject, view, context, zero_shot)

        def compare(
            candidate: Candidate,
            val: Metrics,
            hits: NDArray[np.bool_],
            bases: tuple[NDArray[np.float64], NDArray[np.float64], str] = (
                zero_shot, simple_hits, simple,
            ),
        ) -> _Attempt:  # fmt: skip
            own = _on_validation(subject, hits)
            first, second = (
                compare_correct(*on_shared(base, own), seed=subject.seed) for base in bases[:2]
            )
            return _Attempt(candidate, val, first, second, bases[2])

        if view.name in context.settings["attention"]:
            fitted = _fit_attention(subject, view, context)
            kept = keep_candidate(subject, view, fitted, context, context.template_set(view.name))
            n_train = context.settings["attention"][view.name]
            kept = replace(kept, n_train=min(n_train, kept.n_train))
            assert fitted.val is not None, "it was fitted with validation images"
            attempts.append(compare(kept, fitted.val, fitted.val_correct))
            records[f"{view.name}, attention"] = fitted.to_dict()
        if view.name in context.settings["recipe"]:
            settings = context.settings["recipe"][view.name]
            options = FinetuneOptions(
                method="head-then-full", epochs=settings["epochs"], augment="light",
                interpolate=settings["mixtures"], seed=subject.seed,
            )  # fmt: skip
            tuned = tune(subject, view, options, context, settings=settings)
            tuned.clear()
            attempts.append(compare(tuned.candidate, tuned.val, tuned.hits))
            records[f"{view.name}, {options.method}"] = tuned.to_dict()
    if not attempts:
        raise TooSmallError("the budget leaves no time for either method")
    numbers = {
        "attempts": [
            {
                **a.candidate.to_dict(),
                "val": a.val.summary(),
                "against_zero_shot": vars(a.against_zero_shot),
                "against_simple": vars(a.against_simple),
                "simple": a.simple,
            }
            for a in attempts
        ],
        "records": records,
        "candidates": [a.candidate.to_dict() for a in attempts],
    }
    return SectionResult(
        _conclude(attempts), numbers, _blocks(context, attempts), _notes(subject, context, attempts)
    )


def _on_validation(subject: StudyData, hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return hits on the validation images in the rows of the table, NaN elsewhere."""
    rows = np.full(len(subject.table), np.nan)
    rows[subject.partition.val] = hits
    return rows


def _best_simple(
    subject: StudyData,
    view: EncodedData,
    context: SectionContext,
    zero_shot: NDArray[np.float64],
) -> tuple[str, NDArray[np.float64]]:
    """Return the best classifier of the sections before, and its hits in the rows of the table."""
    own = [c for c in read_candidates(context.done) if c.model == view.name]
    for best in sorted(own, key=lambda candidate: -candidate.accuracy["value"]):
        hits = held_out_hits(
            subject, best, folder=context.folder.parent.parent, progress=context.progress
        )
        if not np.isnan(hits[subject.partition.val]).all():
            return best.method, hits
    return "zero-shot", zero_shot


def _fit_attention(subject: StudyData, view: EncodedData, context: SectionContext) -> Fitted:
    """Fit the attention head on the patches of as many training images as memory allows."""
    val = subject.partition.val
    per_image = view.tokens(val[:1], context.progress)[0].nbytes
    most = max(_MOST_TOKEN_BYTES // per_image - len(val), 1)
    n_train = min(context.settings["attention"][view.name], most)
    train = spread_classes(subject, subject.partition.train, n_train)
    rows = np.concatenate([train, val])
    tokens = view.tokens(rows, context.progress)
    whole = subject.task(view, context.template_set(view.name))
    task = replace(
        whole,
        vectors=view.vectors[rows],
        groups=None if whole.groups is None else whole.groups[rows],
        tokens=tokens,
        labels=whole.labels[rows],
        train=np.arange(len(train)),
        val=np.arange(len(train), len(rows)),
    )
    return fit_head(task, "attention")


def _blocks(
    context: SectionContext, attempts: Sequence[_Attempt]
) -> tuple[Any, ...]:  # Any: report blocks
    several = len({a.candidate.model for a in attempts}) > 1
    dots, rows = [], []
    for a in attempts:
        c, accuracy = a.candidate, a.val.accuracy
        label = f"{c.method}, {c.model}" if several else c.method
        dots.append(Dot(label, accuracy.value, accuracy.low, accuracy.high, c.model))
        rows.append(
            (c.model, c.method, score_cell(a.val), comparison_cell(a.against_zero_shot),
             a.against_zero_shot.p_value, a.simple, comparison_cell(a.against_simple),
             a.against_simple.p_value, c.parameters, c.seconds, c.n_train)
        )  # fmt: skip
    columns = (
        Column("model", "model"),
        Column("method", "method"),
        Column("validation", "validation", "percent"),
        Column("against_zero_shot", "against zero-shot", "points"),
        Column("p_zero_shot", "p", "p"),
        Column("simple", "best before"),
        Column("against_simple", "against it", "points"),
        Column("p_simple", "p", "p"),
        Column("parameters", "parameters", "integer"),
        Column("seconds", "time", "seconds"),
        Column("n_train", "images", "integer"),
    )
    chart = context.chart(
        plot_dots(dots, label="validation accuracy in %, 95 % interval"),
        "beyond",
        alt="Validation accuracy of the attention head and the careful recipe",
        caption="Validation accuracy of what goes further.",
    )
    return chart, Table("beyond", "Further methods", columns, tuple(rows))


def _conclude(attempts: Sequence[_Attempt]) -> str:
    sentences = []
    for a in attempts:
        name = f"{a.candidate.method} on {a.candidate.model}"
        change = a.against_simple
        if is_better(change):
            verdict = f"goes beyond {a.simple}, the best so far: {points(change)}"
        elif is_worse(change):
            verdict = f"stays behind {a.simple}, the best so far: {points(change)}"
        else:
            verdict = f"cannot be told from {a.simple}, the best so far: {points(change)}"
        sentences.append(f"{name} {verdict}, for {duration(a.candidate.seconds)}.")
    gains = [a for a in attempts if is_better(a.against_simple)]
    if not gains and any(a.against_simple.high > MARGIN for a in attempts):
        sentences.append("Whether going further pays here, so few validation images cannot tell.")
    elif not gains:
        sentences.append("Going further does not pay here.")
    else:
        sentences.append(f"It pays here: {join_words([a.candidate.method for a in gains])}.")
    return " ".join(s[0].upper() + s[1:] for s in sentences)


def _notes(
    subject: StudyData, context: SectionContext, attempts: Sequence[_Attempt]
) -> tuple[str, ...]:
    available = len(subject.partition.train)
    fewer = [a.candidate for a in attempts if a.candidate.n_train < available]
    left_out = [
        f"{what} on {view.name} was not tried: the budget left no time for it."
        for view in subject.views
        for key, what in (("attention", "The attention head"), ("recipe", "The careful recipe"))
        if view.name not in context.settings[key]
    ]
    return (
        *left_out,
        *(
            f"{c.method} on {c.model} learned from {c.n_train:,} of {available:,} training "
            "images, which is what the budget allowed."
            for c in fewer
        ),
    )
