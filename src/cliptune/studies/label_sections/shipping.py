"""What to ship and why: chosen on held-out answers, scored on the locked test, opened here once.

It sees the classifiers that other sections have kept, and nothing about how they were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.multilabel.choosing import MARGIN
from cliptune.multilabel.metrics import DrawnAreas, LabelSetMetrics, resampled_weights
from cliptune.report import Column, Figure, Table
from cliptune.report.charts import Dot, plot_dots
from cliptune.report.label_sets import label_class_table
from cliptune.results.plain import to_plain
from cliptune.studies.label_sections.candidates import (
    LabelCandidate,
    held_out_scores,
    read_candidates,
    score_candidate,
)
from cliptune.studies.section_context import SectionContext, SectionResult, TooSmallError
from cliptune.studies.study_data import LabelSets, StudyData
from cliptune.system.formatting import change, change_interval, count, interval, percent

__all__ = ["answer"]


@dataclass(frozen=True)
class _OnTest:
    """What a classifier gives on the locked test."""

    candidate: LabelCandidate
    metrics: LabelSetMetrics
    areas: DrawnAreas
    gain: tuple[float, float, float]  # over zero-shot of the same encoder


def answer(subject: StudyData, context: SectionContext) -> SectionResult:
    """Choose on held-out answers, open the test once, and score every candidate on it."""
    candidates, sets = read_candidates(context.done), subject.sets
    if not candidates or sets is None:
        raise TooSmallError("no other section has left a classifier to choose from")
    folder = context.folder.parent.parent
    chosen = _choose(context, sets, candidates, folder, seed=subject.seed)
    found = _open_test(subject, context, sets, candidates, folder)
    shipped = found[chosen]
    numbers = {
        "recommended": candidates[chosen].to_dict(),
        "n_test": shipped.metrics.n,
        "methods": [
            {
                **one.candidate.to_dict(),
                "test": {
                    **to_plain(one.metrics),
                    "mean_average_precision": one.metrics.mean_average_precision.value,
                    "interval": [
                        one.metrics.mean_average_precision.low,
                        one.metrics.mean_average_precision.high,
                    ],
                },
                "against_zero_shot": dict(zip(("difference", "low", "high"), one.gain,
                                              strict=True)),
            }
            for one in found
        ],
    }  # fmt: skip
    title = f"Per label on the locked test, {_name(candidates, chosen)}"
    blocks = (
        _dots(context, found, chosen),
        _table(found, chosen),
        label_class_table(to_plain(shipped.metrics), title),
    )
    note = (
        f"The test of {count(shipped.metrics.n)} images was opened once, after everything had been "
        "chosen on answers of fits that had not seen the image."
    )
    return SectionResult(_conclude(context, found, chosen), numbers, blocks, (note,))


def _choose(
    context: SectionContext,
    sets: LabelSets,
    candidates: Sequence[LabelCandidate],
    folder: Path,
    *,
    seed: int,
) -> int:
    """Take what ``fit`` recommends for the first encoder, or for another that is the better guess.

    Another encoder takes its place unless it is shown to gain less than the margin.
    """
    heads = context.done.get("heads")
    truth = sets.truth[sets.partition.train]
    weights = resampled_weights(len(truth), seed=seed)
    chosen, best = None, None
    for model in dict.fromkeys(c.model for c in candidates):
        method = heads.numbers["models"][model]["recommended"] if heads else "zero-shot"
        k = next(k for k, c in enumerate(candidates) if (c.model, c.method) == (model, method))
        areas = DrawnAreas.of(truth, held_out_scores(candidates[k], folder=folder), weights)
        if best is None or (areas.value > best.value and best.change_to(areas)[2] > MARGIN):
            chosen, best = k, areas
    assert chosen is not None, "there is a candidate"
    return chosen


def _open_test(
    subject: StudyData,
    context: SectionContext,
    sets: LabelSets,
    candidates: Sequence[LabelCandidate],
    folder: Path,
) -> list[_OnTest]:
    rows = sets.partition.test.open()
    truth = sets.truth[rows]
    weights = resampled_weights(len(rows), seed=subject.seed)
    scored: list[tuple[LabelSetMetrics, DrawnAreas]] = []
    for number, candidate in enumerate(candidates):
        context.progress("classifiers", number, len(candidates))
        metrics, probabilities = score_candidate(subject, candidate, rows, folder=folder)
        scored.append((metrics, DrawnAreas.of(truth, probabilities, weights)))
    bases = {c.model: areas for c, (_, areas) in zip(candidates, scored, strict=True)
             if c.method == "zero-shot"}  # fmt: skip
    return [
        _OnTest(candidate, metrics, areas, bases[candidate.model].change_to(areas))
        for candidate, (metrics, areas) in zip(candidates, scored, strict=True)
    ]


def _conclude(context: SectionContext, found: Sequence[_OnTest], chosen: int) -> str:
    one = found[chosen]
    heads = context.done.get("heads")
    area = one.metrics.mean_average_precision
    reached = (
        f"{percent(area.value)} ({interval(area.low, area.high)}) on the locked test of "
        f"{count(area.n)} images"
    )
    several = len({f.candidate.model for f in found}) > 1
    lead: str = f"{one.candidate.model}: " if several else ""
    if heads is None:
        lead += "zero-shot reaches" if several else "Zero-shot reaches"
        return f"{lead} a mean average precision of {reached}; nothing else was tried."
    lead += heads.numbers["models"][one.candidate.model]["recommendation"]
    lead += f" It reaches {reached}"
    if one.candidate.method == "zero-shot":
        return f"{lead}."
    gain, low, high = one.gain
    lead += f", {change(gain)} points against zero-shot there ({change_interval(low, high)})."
    if high < 0:
        lead += " The test contradicts the held-out answers here: look before you ship."
    return lead


def _name(candidates: Sequence[LabelCandidate], index: int) -> str:
    one = candidates[index]
    several = len({c.model for c in candidates}) > 1
    return f"{one.method}, {one.model}" if several else one.method


def _dots(context: SectionContext, found: Sequence[_OnTest], chosen: int) -> Figure:
    candidates = [one.candidate for one in found]
    dots = []
    for k, one in enumerate(found):
        area = one.metrics.mean_average_precision
        dots.append(
            Dot(_name(candidates, k), area.value, area.low, area.high, one.candidate.model,
                k == chosen)
        )  # fmt: skip
    return context.chart(
        plot_dots(dots, label="mAP on the locked test in %, 95 % interval"),
        "test",
        alt="Mean average precision of every classifier on the locked test with its interval",
        caption="The locked test, opened once. The diamond is what to ship.",
    )


def _table(found: Sequence[_OnTest], chosen: int) -> Table:
    columns = (
        Column("model", "model"),
        Column("method", "method"),
        Column("features", "features"),
        Column("held_out", "held out mAP", "percent"),
        Column("test", "test mAP", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("micro_f1", "micro F1", "percent"),
        Column("macro_f1", "macro F1", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("seconds", "fit", "seconds"),
    )
    rows = tuple(_row(one) for one in found)
    return Table("test", "Everything on the locked test", columns, rows, marked=chosen)


def _row(one: _OnTest) -> tuple[Any, ...]:  # Any: cells
    candidate, metrics = one.candidate, one.metrics
    area = metrics.mean_average_precision
    gain, low, high = one.gain
    return (
        candidate.model,
        candidate.method,
        candidate.features,
        candidate.mean_average_precision,
        {"value": area.value, "low": area.low, "high": area.high},
        None if candidate.method == "zero-shot" else {"value": gain, "low": low, "high": high},
        metrics.micro_f1.value,
        metrics.macro_f1.value,
        metrics.log_loss,
        candidate.seconds,
    )
