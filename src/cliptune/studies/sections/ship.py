"""What to ship and why: chosen on held-out images, scored on the locked test, which is opened here.

It sees the classifiers that other sections have kept, and nothing about how they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.checks.features import chance_accuracy
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.report import Column, Table
from cliptune.report.blocks import per_class_table
from cliptune.report.charts import Dot, plot_dots
from cliptune.selection.answer import Answer
from cliptune.selection.sentence import recommendation
from cliptune.selection.weighing import weigh
from cliptune.studies.candidates import (
    Candidate,
    held_out_hits,
    on_shared,
    read_candidates,
    score_candidate,
)
from cliptune.studies.section_context import SectionContext, SectionResult, TooSmallError
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sentences import comparison_cell, is_worse, score_cell
from cliptune.studies.study_data import StudyData
from cliptune.system.formatting import count, points, span

__all__ = ["study_shipping"]

SECTION = SectionSpec(
    name="ship",
    place=100,
    title="What to ship",
    question="Which of these is worth shipping, and what does the locked test say?",
    function="study_shipping",
    draws_on=("zero-shot", "fine-tuning", "heads", "beyond"),
    rests_on="zero-shot",
    rank=20,
    several="shipping",
    seconds=3.0,
    seconds_per_image=3e-3,
)

_CERTAINTY = 0.99


@dataclass(frozen=True)
class _Choice:
    """What held-out images say.

    Attributes:
        index: Number of the recommended candidate; nothing where none is better than guessing.
        answer: Of the comparison of heads within the recommended model; None where there was none.
        over: Where something else is better than the recommended head: from that head to it.
        head: The number of that head.
    """

    index: int | None
    answer: Answer | None
    over: Comparison | None = None
    head: int | None = None


def study_shipping(subject: StudyData, context: SectionContext) -> SectionResult:
    """Choose on held-out images, open the test once, and score every candidate on it."""
    candidates = read_candidates(context.done)
    if not candidates:
        raise TooSmallError("no other section has left a classifier to choose from")
    folder = context.folder.parent.parent
    labels = subject.table.labels

    def score(rows: NDArray[np.int64]) -> list[tuple[Metrics, NDArray[np.bool_]]]:
        found = []
        for number, candidate in enumerate(candidates):
            context.progress("classifiers", number, len(candidates))
            metrics, probabilities = score_candidate(
                subject, candidate, rows, folder=folder, progress=context.progress
            )
            found.append((metrics, probabilities.argmax(axis=1) == labels[rows]))
        return found

    hits = [
        held_out_hits(subject, candidate, folder=folder, progress=context.progress)
        for candidate in candidates
    ]
    choice = _choose(subject, context, candidates, hits)
    on_test = score(subject.partition.test.open())
    first = next(k for k, c in enumerate(candidates) if c.method == "zero-shot")
    base = first if choice.index is None else _zero_shot_of(candidates, choice.index, first)
    changes = [compare_correct(on_test[base][1], hits, seed=subject.seed) for _, hits in on_test]
    numbers = {
        "recommended": None if choice.index is None else candidates[choice.index].to_dict(),
        "n_val": len(subject.partition.val),
        "n_test": subject.partition.test.n,
        "methods": [
            {
                **candidate.to_dict(),
                "val": _summary(candidate),
                "test": test_metrics.to_dict(),
                "against_zero_shot": vars(change),
            }
            for candidate, (test_metrics, _), change in zip(
                candidates, on_test, changes, strict=True
            )
        ],
    }
    conclusion = _conclude(candidates, on_test, choice, changes, base)
    blocks = tuple(_blocks(context, candidates, on_test, changes, choice))
    notes = (
        f"The test of {subject.partition.test.n:,} images was opened once, after everything had "
        "been chosen on images that no fit had seen that answered for them.",
        *_flattered(subject),
    )
    return SectionResult(conclusion, numbers, blocks, notes)


def _flattered(subject: StudyData) -> Sequence[str]:
    n = len(subject.partition.duplicates)
    return (
        [f"{n} pairs of near-duplicates stand in test and training; scores flatter."] if n else []
    )


def _choose(
    subject: StudyData,
    context: SectionContext,
    candidates: Sequence[Candidate],
    hits: Sequence[NDArray[np.float64]],
) -> _Choice:
    """Take what ``fit`` recommends among a model's heads, and something else by the same rule.

    Another model's head, or a method that moves the weights, costs more than the first model's
    head; it takes that one's place where it is shown to be better on the images that both answered
    for without having learned from them, or is the better guess where these are too few to tell.
    """
    heads = context.done.get("heads")
    models = dict.fromkeys(c.model for c in candidates)
    answers = {m: Answer.from_dict(heads.numbers["models"][m]) for m in models} if heads else {}
    index: int | None = None
    for model in models:
        method = (
            answers[model].method if answers else _zero_shot_alone(subject, context, candidates)
        )
        found = next(
            (k for k, c in enumerate(candidates) if (c.model, c.method) == (model, method)), None
        )
        if index is None or (found is not None and _is_better_guess(hits[index], hits[found])):
            index = found
    if index is None:
        return _Choice(None, next(iter(answers.values()), None))
    head, answer = index, answers.get(candidates[index].model)
    for k, candidate in enumerate(candidates):
        if not candidate.held_out and candidate.method != "zero-shot":
            index = k if _is_better_guess(hits[index], hits[k]) else index
    if index == head:
        return _Choice(index, answer)
    over = compare_correct(*on_shared(hits[head], hits[index]), seed=subject.seed)
    return _Choice(index, answer, over, head)


def _is_better_guess(cheaper: NDArray[np.float64], costlier: NDArray[np.float64]) -> bool:
    both = on_shared(cheaper, costlier)
    return len(both[0]) > 0 and weigh(*both).costlier_is_guess


def _zero_shot_alone(
    subject: StudyData, context: SectionContext, candidates: Sequence[Candidate]
) -> str | None:
    """Return zero-shot where it beats guessing on all images outside the test, else nothing."""
    section = context.done.get("zero-shot")
    if section is None:
        return None
    labels = subject.table.labels[subject.open_rows]
    certainty = 1 - (1 - _CERTAINTY) / len(candidates)
    chance = chance_accuracy(labels, int(labels.max()) + 1, certainty=certainty)
    models = section.numbers["models"].values()
    knows = any(m["template_sets"][m["chosen"]]["accuracy"] > chance for m in models)
    return "zero-shot" if knows else None


def _summary(candidate: Candidate) -> dict[str, Any]:  # Any: plain JSON values
    score = candidate.accuracy
    return {
        "accuracy": score["value"],
        "interval": [score["low"], score["high"]],
        "n": candidate.n_held_out,
    }


def _is_perfect(candidate: Candidate) -> bool:
    return candidate.accuracy["value"] == 1.0


def _zero_shot_of(candidates: Sequence[Candidate], index: int, otherwise: int) -> int:
    model = candidates[index].model
    matches = (k for k, c in enumerate(candidates) if c.model == model and c.method == "zero-shot")
    return next(matches, otherwise)


Scored = Sequence[tuple[Metrics, NDArray[np.bool_]]]


def _conclude(
    candidates: Sequence[Candidate],
    on_test: Scored,
    choice: _Choice,
    changes: Sequence[Comparison],
    base: int,
) -> str:
    if choice.index is None:
        nearest = f"; {choice.answer.best} comes nearest" if choice.answer else ""
        return (
            f"Ship nothing: no method is better than guessing{nearest}. For what was tried here "
            "the labels do not follow from the images."
        )
    test = on_test[choice.index][0].accuracy
    if choice.over is not None:
        assert choice.head is not None, "it comes with the comparison"
        lead = (
            f"Use {_name(candidates, choice.index)}: {points(choice.over)} against "
            f"{_name(candidates, choice.head)} on {count(choice.over.n)} images that neither had "
            f"learned from; it reaches {span(test)} on "
            "the locked test."
        )
    elif candidates[choice.index].method == "zero-shot" and _is_perfect(candidates[choice.index]):
        n = count(candidates[choice.index].n_held_out)
        lead = (
            f"Do not train: zero-shot is perfect on all {n} held-out images, so nothing can be "
            f"better; it reaches {span(test)} on the locked test."
        )
    elif choice.answer is not None:
        lead = recommendation(choice.answer, test)
    else:
        lead = f"Zero-shot reaches {span(test)} on the locked test; nothing else was tried."
    if len({c.model for c in candidates}) > 1:
        lead = f"{candidates[choice.index].model}. {lead}"
    change = changes[choice.index]
    if choice.index != base:
        lead += f" On the test that is {points(change)} against zero-shot."
        if is_worse(change):
            lead += " The test contradicts validation here: look before you ship."
    return lead


def _name(candidates: Sequence[Candidate], index: int) -> str:
    one = candidates[index]
    several = len({c.model for c in candidates}) > 1
    return f"{one.method}, {one.model}" if several else one.method


def _blocks(
    context: SectionContext,
    candidates: Sequence[Candidate],
    on_test: Scored,
    changes: Sequence[Comparison],
    choice: _Choice,
) -> list[Any]:  # Any: blocks of a report
    dots = []
    for k, candidate in enumerate(candidates):
        accuracy = on_test[k][0].accuracy
        dots.append(
            Dot(_name(candidates, k), accuracy.value, accuracy.low, accuracy.high,
                candidate.model, k == choice.index)
        )  # fmt: skip
    columns = (
        Column("model", "model"),
        Column("method", "method"),
        Column("held_out", "held out", "percent"),
        Column("test", "locked test", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("p_value", "p", "p"),
        Column("balanced", "balanced", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("ece", "calibration error", "number"),
        Column("parameters", "parameters", "integer"),
        Column("seconds", "fit", "seconds"),
    )
    rows = [_row(c, t, d) for c, t, d in zip(candidates, on_test, changes, strict=True)]
    blocks: list[Any] = [  # Any: as above
        context.chart(
            plot_dots(dots, label="accuracy on the locked test in %, 95 % interval"),
            "test",
            alt="Accuracy of every classifier on the locked test with its interval",
            caption="The locked test, opened once."
            + (" The diamond is what to ship." if choice.index is not None else ""),
        ),
        Table("test", "Everything on the locked test", columns, tuple(rows), marked=choice.index),
    ]
    if choice.index is not None:
        classes = on_test[choice.index][0].to_dict()["per_class"]
        title = f"Per class on the locked test, {_name(candidates, choice.index)}"
        blocks.append(per_class_table(classes, title=title))
    return blocks


def _row(
    candidate: Candidate,
    on_test: tuple[Metrics, Any],  # Any: hits, which are not shown
    change: Comparison,
) -> tuple[Any, ...]:  # Any: cells
    test = on_test[0]
    return (
        candidate.model,
        candidate.method,
        candidate.accuracy,
        score_cell(test),
        comparison_cell(change),
        change.p_value,
        test.balanced_accuracy.value,
        test.log_loss.value,
        test.ece.value,
        candidate.parameters,
        candidate.seconds,
    )
