"""What layers on the frozen model reach, and what they cost.

Every image was encoded once; what is timed here is the fitting alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.fitting import Fitted, fit_methods
from cliptune.formatting import count, duration, percent, points, span
from cliptune.ladder import LADDER, Recommendation, recommend
from cliptune.paired import Comparison, compare_correct
from cliptune.report import Column, Section, Table
from cliptune.report.charts import Dot, plot_cost, plot_dots
from cliptune.study.candidates import Candidate, keep_candidate
from cliptune.study.desk import Desk, Finding
from cliptune.study.subject import Subject
from cliptune.study.words import comparison_cell, is_better, score_cell

__all__ = ["study_heads"]

_METHODS = tuple(name for name in LADDER if name != "attention")


def study_heads(subject: Subject, desk: Desk) -> Finding:
    """Fit every head that needs no tokens, on every encoder, and compare on validation."""
    fitted: dict[str, dict[str, Fitted]] = {}
    candidates: list[Candidate] = []
    total = len(_METHODS) * len(subject.views)
    for view in subject.views:
        template_set = desk.template_set(view.name)
        own: dict[str, Fitted] = {}
        fits = fit_methods(
            subject.task(view, template_set), _METHODS, options={}, abstain_precision=None
        )
        for one in fits:
            own[one.name] = one
            desk.progress("heads", len(own) + sum(len(found) for found in fitted.values()), total)
        fitted[view.name] = own
        candidates += [
            keep_candidate(subject, view, one, desk, template_set)
            for name, one in own.items()
            if name != "zero-shot"  # the section of that name has kept it
        ]
    choices = {
        model: recommend({name: f.val_correct for name, f in own.items()}, seed=subject.seed)
        for model, own in fitted.items()
    }
    changes = {
        model: {
            name: compare_correct(own["zero-shot"].val_correct, f.val_correct, seed=subject.seed)
            for name, f in own.items()
        }
        for model, own in fitted.items()
    }
    numbers = {
        "n_train": len(subject.partition.train),
        "n_val": len(subject.partition.val),
        "models": {
            model: {
                "methods": {name: f.to_dict() for name, f in own.items()},
                "against_zero_shot": {name: vars(c) for name, c in changes[model].items()},
                "simplest_as_good": choices[model].method,
                "best": choices[model].best,
            }
            for model, own in fitted.items()
        },
        "candidates": [candidate.to_dict() for candidate in candidates],
    }
    sentences = [
        _conclude(model, own, choices[model], changes[model], len(fitted) > 1)
        for model, own in fitted.items()
    ]
    sentences += _compare_with_tuning(fitted, choices, desk.done.get("fine-tuning"))
    notes = (
        f"Chosen and compared on {len(subject.partition.val):,} validation images; heads learn "
        f"from {len(subject.partition.train):,}. The time is that of the fit, with every image "
        "encoded before.",
    )
    blocks = tuple(_blocks(desk, fitted, choices, changes))
    return Finding(" ".join(sentences), numbers, blocks, notes)


def _blocks(
    desk: Desk,
    fitted: Mapping[str, Mapping[str, Fitted]],
    choices: Mapping[str, Recommendation],
    changes: Mapping[str, Mapping[str, Comparison]],
) -> list[Any]:  # Any: blocks of a report
    dots: list[Dot] = []
    rows: list[tuple[Any, ...]] = []  # Any: cells
    marked: int | None = None
    several = len(fitted) > 1
    for model, own in fitted.items():
        for name, one in own.items():
            accuracy, chosen = one.val.accuracy, name == choices[model].method
            label = f"{name}, {model}" if several else name
            dots.append(Dot(label, accuracy.value, accuracy.low, accuracy.high, model, chosen))
            if chosen and marked is None:
                marked = len(rows)
            rows.append(_row(model, one, changes[model][name]))
    seconds = [one.seconds for own in fitted.values() for one in own.values()]
    return [
        desk.chart(
            plot_dots(dots, label="validation accuracy in %, 95 % interval"),
            "accuracy",
            alt="Validation accuracy of every head with its interval",
            caption="The diamond is the simplest head that cannot be told from the best.",
        ),
        desk.chart(
            plot_cost(dots, seconds, label="validation accuracy in %"),
            "cost",
            alt="Validation accuracy of every head against the seconds its fit took",
            caption="What each head reaches and what its fit costs.",
        ),
        _table(rows, marked),
    ]


def _row(model: str, one: Fitted, change: Comparison) -> tuple[Any, ...]:  # Any: cells
    return (
        model,
        one.name,
        score_cell(one.val),
        comparison_cell(change),
        change.p_value,
        one.val.log_loss.value,
        one.head.n_parameters_,
        one.seconds,
    )


def _table(rows: list[tuple[Any, ...]], marked: int | None) -> Table:  # Any: cells
    columns = (
        Column("model", "model"),
        Column("method", "head"),
        Column("validation", "validation", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("p_value", "p", "p"),
        Column("log_loss", "log-loss", "number"),
        Column("parameters", "parameters", "integer"),
        Column("seconds", "fit", "seconds"),
    )
    return Table("heads", "Heads on the frozen model", columns, tuple(rows), marked=marked)


def _conclude(
    model: str,
    fitted: Mapping[str, Fitted],
    choice: Recommendation,
    changes: Mapping[str, Comparison],
    several: bool,
) -> str:
    best, where = fitted[choice.best], f"On {model}, " if several else ""
    change = changes[choice.best]
    if not is_better(change):
        lead = (
            f"{where}no head is measurably better than zero-shot: the best, {choice.best}, is "
            f"{points(change)}."
        )
        return lead[0].upper() + lead[1:]
    lead = (
        f"{where}{choice.best} reaches {span(best.val.accuracy)}, {points(change)} against "
        f"zero-shot, in {duration(best.seconds)} with {count(best.head.n_parameters_)} parameters."
    )
    lead = lead[0].upper() + lead[1:]
    if choice.method != choice.best:
        simple = fitted[choice.method]
        lead += (
            f" The simpler {choice.method} cannot be told from it "
            f"({percent(simple.val.accuracy.value)}, {duration(simple.seconds)})."
        )
    return lead


def _compare_with_tuning(
    fitted: Mapping[str, Mapping[str, Fitted]],
    choices: Mapping[str, Recommendation],
    tuning: Section | None,
) -> list[str]:
    """Set time and accuracy against fine-tuning of the same encoder, where that was done."""
    sentences = []
    for model, found in (tuning.numbers["models"] if tuning else {}).items():
        best = fitted[model][choices[model].best]
        ratio = found["seconds"] / max(best.seconds, 1e-3)
        sentences.append(
            f"Fine-tuning all weights of {model} took {count(ratio)} times as long "
            f"({duration(found['seconds'])}) for {percent(found['val']['value'])}."
        )
    return sentences
