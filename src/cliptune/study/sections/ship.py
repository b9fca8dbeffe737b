"""What to ship and why: chosen on validation, scored on the locked test, which is opened here.

It sees the classifiers that other sections have kept, and nothing about how they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.checks.features import chance_accuracy
from cliptune.formatting import percent, points, span
from cliptune.ladder import Recommendation, recommend
from cliptune.metrics import Metrics
from cliptune.paired import Comparison, compare_correct
from cliptune.report import Column, Table
from cliptune.report.blocks import per_class_table
from cliptune.report.charts import Dot, plot_dots
from cliptune.study.candidates import Candidate, read_candidates, score_candidate
from cliptune.study.desk import Desk, Finding, TooSmallError
from cliptune.study.subject import Subject
from cliptune.study.words import SIGNIFICANT, comparison_cell, is_worse, score_cell

__all__ = ["study_shipping"]

_CERTAINTY = 0.99


@dataclass(frozen=True)
class _Choice:
    """What validation says.

    Attributes:
        index: Number of the recommended candidate; nothing where none is above chance.
        best: Number of the candidate with the highest validation accuracy.
        chance: Accuracy that guessing stays below on validation.
        within: The ladder's choice within the recommended model.
    """

    index: int | None
    best: int
    chance: float
    within: Recommendation


def study_shipping(subject: Subject, desk: Desk) -> Finding:
    """Choose on validation, open the test once, and score every candidate on it."""
    candidates = read_candidates(desk.done)
    if not candidates:
        raise TooSmallError("no other section has left a classifier to choose from")
    folder = desk.folder.parent.parent
    labels, val = subject.table.labels, subject.partition.val

    def score(rows: NDArray[np.int64]) -> list[tuple[Metrics, NDArray[np.bool_]]]:
        found = []
        for number, candidate in enumerate(candidates):
            desk.progress("classifiers", number, len(candidates))
            metrics, probabilities = score_candidate(
                subject, candidate, rows, folder=folder, progress=desk.progress
            )
            found.append((metrics, probabilities.argmax(axis=1) == labels[rows]))
        return found

    on_val = score(val)
    choice = _choose(
        candidates,
        [hits for _, hits in on_val],
        labels[val],
        seed=subject.seed,
        knows=_zero_shot_knows(subject, desk, len(candidates)),
    )
    on_test = score(subject.partition.test.open())
    first = next(k for k, c in enumerate(candidates) if c.method == "zero-shot")
    base = first if choice.index is None else _zero_shot_of(candidates, choice.index, first)
    changes = [compare_correct(on_test[base][1], hits, seed=subject.seed) for _, hits in on_test]
    numbers = {
        "recommended": None if choice.index is None else candidates[choice.index].to_dict(),
        "chance_below": choice.chance,
        "n_val": len(val),
        "n_test": subject.partition.test.n,
        "methods": [
            {
                **candidate.to_dict(),
                "val": val_metrics.summary(),
                "test": test_metrics.to_dict(),
                "against_zero_shot": vars(change),
            }
            for candidate, (val_metrics, _), (test_metrics, _), change in zip(
                candidates, on_val, on_test, changes, strict=True
            )
        ],
    }
    conclusion = _conclude(candidates, on_val, on_test, choice, changes, base)
    blocks = tuple(_blocks(desk, candidates, on_val, on_test, changes, choice))
    notes = (
        f"The test of {subject.partition.test.n:,} images was opened once, after everything had "
        f"been chosen on {len(val):,} validation images.",
        *_flattered(subject),
    )
    return Finding(conclusion, numbers, blocks, notes)


def _flattered(subject: Subject) -> Sequence[str]:
    n = len(subject.partition.duplicates)
    return (
        [f"{n} pairs of near-duplicates stand in test and training; scores flatter."] if n else []
    )


def _choose(
    candidates: Sequence[Candidate],
    hits: Sequence[NDArray[np.bool_]],
    labels: NDArray[np.int64],
    *,
    seed: int,
    knows: bool,
) -> _Choice:
    """Within each model take the ladder's choice, then the model that validation cannot beat.

    The earlier named of two models that cannot be told apart is taken. Nothing is taken unless
    zero-shot or some candidate beats what guessing reaches.
    """
    best = max(range(len(candidates)), key=lambda k: (hits[k].mean(), -k))
    chance = _chance(labels, len(candidates))
    per_model: dict[str, tuple[int, Recommendation]] = {}
    for model in dict.fromkeys(c.model for c in candidates):
        own = {c.method: k for k, c in enumerate(candidates) if c.model == model}
        found = recommend({name: hits[k] for name, k in own.items()}, seed=seed)
        per_model[model] = (own[found.method], found)
    index, within = next(iter(per_model.values()))
    for other, found in per_model.values():
        change = compare_correct(hits[index], hits[other], seed=seed)
        if change.difference > 0 and change.p_value < SIGNIFICANT:
            index, within = other, found
    above = knows or float(hits[best].mean()) > chance
    return _Choice(index if above else None, best, chance, within)


def _chance(labels: NDArray[np.int64], n_candidates: int) -> float:
    """Return what guessing stays below, at a level divided by the number of candidates."""
    certainty = 1 - (1 - _CERTAINTY) / n_candidates
    return chance_accuracy(labels, int(labels.max()) + 1, certainty=certainty)


def _zero_shot_knows(subject: Subject, desk: Desk, n_candidates: int) -> bool:
    """Whether zero-shot beats guessing on all images outside the test: it learned from none."""
    section = desk.done.get("zero-shot")
    if section is None:
        return False
    chance = _chance(subject.table.labels[subject.open_rows], n_candidates)
    models = section.numbers["models"].values()
    return any(m["template_sets"][m["chosen"]]["accuracy"] > chance for m in models)


def _zero_shot_of(candidates: Sequence[Candidate], index: int, otherwise: int) -> int:
    model = candidates[index].model
    matches = (k for k, c in enumerate(candidates) if c.model == model and c.method == "zero-shot")
    return next(matches, otherwise)


Scored = Sequence[tuple[Metrics, NDArray[np.bool_]]]


def _conclude(
    candidates: Sequence[Candidate],
    on_val: Scored,
    on_test: Scored,
    choice: _Choice,
    changes: Sequence[Comparison],
    base: int,
) -> str:
    if choice.index is None:
        best = on_val[choice.best][0].accuracy
        return (
            f"Ship nothing: no method is better than guessing. The best on validation, "
            f"{_name(candidates, choice.best)}, reaches {percent(best.value)} of {best.n} images; "
            f"guessing reaches up to {percent(choice.chance)}. For what was tried here the labels "
            "do not follow from the images."
        )
    zero_shot = on_val[base][0].accuracy
    test = on_test[choice.index][0].accuracy
    if zero_shot.value == 1.0 and candidates[choice.index].method == "zero-shot":
        lead = (
            f"Do not train: zero-shot is perfect on all {zero_shot.n} validation images, so "
            f"nothing can be better; it reaches {span(test)} on the locked test."
        )
    else:
        lead = choice.within.sentence(test)
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
    desk: Desk,
    candidates: Sequence[Candidate],
    on_val: Scored,
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
        Column("validation", "validation", "percent"),
        Column("test", "locked test", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("p_value", "p", "p"),
        Column("balanced", "balanced", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("ece", "calibration error", "number"),
        Column("parameters", "parameters", "integer"),
        Column("seconds", "fit", "seconds"),
    )
    rows = [
        _row(c, v, t, d) for c, v, t, d in zip(candidates, on_val, on_test, changes, strict=True)
    ]
    blocks: list[Any] = [  # Any: as above
        desk.chart(
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
    on_val: tuple[Metrics, Any],  # Any: hits, which are not shown
    on_test: tuple[Metrics, Any],  # Any: likewise
    change: Comparison,
) -> tuple[Any, ...]:  # Any: cells
    test = on_test[0]
    return (
        candidate.model,
        candidate.method,
        score_cell(on_val[0]),
        score_cell(test),
        comparison_cell(change),
        change.p_value,
        test.balanced_accuracy.value,
        test.log_loss.value,
        test.ece.value,
        candidate.parameters,
        candidate.seconds,
    )
