"""What layers on the frozen model reach, and what they cost.

Every image was encoded once; what is timed here is the fitting alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cliptune.choosing import Chosen, choose_methods
from cliptune.classifiers.fitting import Fitted
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.report import Column, Section, Table
from cliptune.report.charts import Dot, plot_cost, plot_dots
from cliptune.selection.answer import Answer
from cliptune.selection.methods import COMPARED
from cliptune.studies.candidates import Candidate, HeldOut, keep_candidate
from cliptune.studies.section_context import SectionContext, SectionResult, TooSmallError
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sentences import comparison_cell, is_better, score_cell
from cliptune.studies.study_data import StudyData
from cliptune.system.formatting import count, duration, percent, points, span

__all__ = ["study_heads"]

SECTION = SectionSpec(
    name="heads",
    place=50,
    title="Layers on the frozen model",
    question="What do added layers reach while the model stays frozen, and at what cost?",
    function="study_heads",
    draws_on=("zero-shot", "fine-tuning"),
    rank=40,
    several="heads",
    seconds=8.0,
    seconds_per_image=5e-4,
)


def study_heads(subject: StudyData, context: SectionContext) -> SectionResult:
    """Compare heads on every encoder as ``fit`` does, and fit each on all images."""
    chosen: dict[str, Chosen] = {}
    candidates: list[Candidate] = []
    total = len(COMPARED) * len(subject.views)
    for number, view in enumerate(subject.views):
        template_set = context.template_set(view.name)
        before = number * len(COMPARED)
        found = choose_methods(
            subject.task(view, template_set),
            COMPARED,
            options={},
            groups=None if number else subject.partition.groups,  # of the first encoder
            progress=partial(_show, context, before, total),
        )
        if not found.judged:
            raise TooSmallError("a class needs two images for heads to be compared")
        chosen[view.name] = found
        for name, one in found.fitted.items():
            judged = found.judged[name]
            held_out = HeldOut(found.rows[judged.images], judged.hits)
            candidates.append(
                keep_candidate(subject, view, one, context, template_set, held_out=held_out)
            )
    fitted = {model: found.fitted for model, found in chosen.items()}
    choices = {model: found.answer for model, found in chosen.items()}
    changes = {
        model: {
            name: compare_correct(own["zero-shot"].val_correct, f.val_correct, seed=subject.seed)
            for name, f in own.items()
        }
        for model, own in fitted.items()
    }
    n_images = {model: len(found.rows) for model, found in chosen.items()}
    numbers = {
        "n_train": next(iter(n_images.values())),
        "models": {
            model: {
                "methods": {name: f.to_dict() for name, f in own.items()},
                "against_zero_shot": {name: vars(c) for name, c in changes[model].items()},
                **choices[model].to_dict(),
            }
            for model, own in fitted.items()
        },
        "candidates": [candidate.to_dict() for candidate in candidates],
    }
    sentences = [
        _conclude(model, own, choices[model], changes[model], len(fitted) > 1)
        for model, own in fitted.items()
    ]
    sentences += _compare_with_tuning(fitted, choices, context.done.get("fine-tuning"))
    first = next(iter(chosen.values()))
    notes = (
        *(f"{note[0].upper()}{note[1:]}." for note in first.notes),
        "The time is that of comparing and fitting, with every image encoded before.",
    )
    blocks = tuple(_blocks(context, fitted, choices, changes))
    return SectionResult(" ".join(sentences), numbers, blocks, notes)


def _blocks(
    context: SectionContext,
    fitted: Mapping[str, Mapping[str, Fitted]],
    choices: Mapping[str, Answer],
    changes: Mapping[str, Mapping[str, Comparison]],
) -> list[Any]:  # Any: blocks of a report
    dots: list[Dot] = []
    rows: list[tuple[Any, ...]] = []  # Any: cells
    marked: int | None = None
    several = len(fitted) > 1
    for model, own in fitted.items():
        for name, one in own.items():
            accuracy, chosen = _held_out(one).accuracy, name == choices[model].method
            label = f"{name}, {model}" if several else name
            dots.append(Dot(label, accuracy.value, accuracy.low, accuracy.high, model, chosen))
            if chosen and marked is None:
                marked = len(rows)
            rows.append(_row(model, one, changes[model][name]))
    seconds = [one.seconds for own in fitted.values() for one in own.values()]
    return [
        context.chart(
            plot_dots(dots, label="accuracy on held-out images in %, 95 % interval"),
            "accuracy",
            alt="Held-out accuracy of every head with its interval",
            caption="The diamond is the head that is recommended.",
        ),
        context.chart(
            plot_cost(dots, seconds, label="accuracy on held-out images in %"),
            "cost",
            alt="Held-out accuracy of every head against the seconds its fit took",
            caption="What each head reaches and what its fit costs.",
        ),
        _table(rows, marked),
    ]


def _row(model: str, one: Fitted, change: Comparison) -> tuple[Any, ...]:  # Any: cells
    return (
        model,
        one.name,
        score_cell(_held_out(one)),
        comparison_cell(change),
        change.p_value,
        _held_out(one).log_loss.value,
        one.head.n_parameters_,
        one.seconds,
    )


def _table(rows: list[tuple[Any, ...]], marked: int | None) -> Table:  # Any: cells
    columns = (
        Column("model", "model"),
        Column("method", "head"),
        Column("held_out", "held out", "percent"),
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
    choice: Answer,
    changes: Mapping[str, Comparison],
    several: bool,
) -> str:
    best, where = fitted[choice.best], f"On {model}, " if several else ""
    reached = _held_out(best).accuracy
    change = changes[choice.best]
    if not is_better(change):
        lead = (
            f"{where}no head is measurably better than zero-shot: the best, {choice.best}, is "
            f"{points(change)}."
        )
        return lead[0].upper() + lead[1:]
    lead = (
        f"{where}{choice.best} reaches {span(reached)}, {points(change)} against "
        f"zero-shot, in {duration(best.seconds)} with {count(best.head.n_parameters_)} parameters."
    )
    lead = lead[0].upper() + lead[1:]
    if choice.method not in (None, choice.best):
        simple = fitted[str(choice.method)]
        lead += (
            f" The cheaper {choice.method} is as good within {100 * choice.margin:g} point "
            f"({percent(_held_out(simple).accuracy.value)}, {duration(simple.seconds)})."
        )
    return lead


def _show(context: SectionContext, before: int, total: int, done: int, _: int) -> None:
    context.progress("heads", before + done, total)


def _held_out(fitted: Fitted) -> Metrics:
    assert fitted.val is not None, "heads are compared on held-out images"
    return fitted.val


def _compare_with_tuning(
    fitted: Mapping[str, Mapping[str, Fitted]],
    choices: Mapping[str, Answer],
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
