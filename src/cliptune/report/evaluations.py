"""Runs of ``evaluate`` as documents: zero-shot, a fitted classifier, retrieval.

It knows what the command writes into ``metrics.json`` and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.errors import RunError
from cliptune.report.blocks import change_cell, per_class_table, run_facts, score_cell, score_tile
from cliptune.report.document import Column, Document, Section, Table, Tile
from cliptune.report.label_sets import evaluate_labels_document
from cliptune.runs import RunDir
from cliptune.system.formatting import change, change_interval, interval, percent, with_p

__all__ = ["evaluate_document"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "metrics.json"
_DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}


def evaluate_document(run: RunDir) -> Document:
    """Read a run of ``evaluate``, whatever its task.

    Raises:
        RunError: Its task is not known.
    """
    result = run.read_json(_SOURCE)
    readers = {
        "zero-shot": _zero_shot,
        "fitted": _fitted,
        "retrieval": _retrieval,
        "label-sets": evaluate_labels_document,
    }
    if result["task"] not in readers:
        raise RunError(
            f"{str(run.path)!r} holds an evaluation of the task {result['task']!r}; expected one "
            f"of {', '.join(readers)}: was it written by a newer cliptune?"
        )
    return readers[result["task"]](run, result)


def _zero_shot(run: RunDir, result: Json) -> Document:
    columns = (
        Column("templates", "templates"),
        Column("accuracy", "accuracy", "percent"),
        Column("balanced_accuracy", "balanced", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("ece", "calibration error", "number"),
    )
    sets = result["template_sets"]
    rows = tuple(
        (name, score_cell(s), s["balanced_accuracy"], s["log_loss"], s["ece"])
        for name, s in sets.items()
    )
    sentence = (
        f"{result['model']} classifies {percent(result['accuracy'])} of {result['n']} images "
        f"rightly without training (95 % interval {interval(*result['interval'])})."
    )
    section = Section(
        name="zero-shot",
        title="Zero-shot",
        question="What does the model know without any training?",
        conclusion=sentence,
        numbers=dict(result),
        blocks=(
            Table("templates", "Template sets", columns, rows),
            per_class_table(result["per_class"], title="Per class"),
        ),
        seconds=result["seconds"],
    )
    return Document(
        title=f"Zero-shot on {result['data']}",
        summary=f"{result['model']}, {len(result['class_names'])} classes, {result['n']} images",
        answer=sentence,
        answer_title="Without training",
        command="",
        tiles=(score_tile("Zero-shot", result),),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _fitted(run: RunDir, result: Json) -> Document:
    sentence = (
        f"{result['method']} on {result['model']} classifies {percent(result['accuracy'])} of "
        f"{result['n']} images rightly (95 % interval {interval(*result['interval'])}): "
        f"{_against(result['against_zero_shot'])} points against zero-shot."
    )
    section = Section(
        name="fitted",
        title="The fitted classifier",
        question="What does the classifier give on these images, and zero-shot beside it?",
        conclusion=sentence,
        numbers=dict(result),
        blocks=(
            _classifier_table(result),
            per_class_table(result["per_class"], title=f"Per class, {result['method']}"),
        ),
        notes=_fitted_notes(result),
        seconds=result["seconds"],
    )
    return Document(
        title=f"{result['method']} on {result['data']}",
        summary=f"{result['model']}, {len(result['class_names'])} classes, {result['n']} images; "
        f"classifier of {result['classifier']}",
        answer=sentence,
        answer_title="On these images",
        command="",
        tiles=(
            score_tile("Zero-shot", result["zero_shot"]),
            score_tile(result["method"], result),
        ),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _against(comparison: Json) -> str:
    ends = change_interval(comparison["low"], comparison["high"])
    return f"{change(comparison['difference'])} ({ends}, {with_p(comparison['p_value'])})"


def _classifier_table(result: Json) -> Table:
    columns = (
        Column("classifier", "classifier"),
        Column("accuracy", "accuracy", "percent"),
        Column("balanced_accuracy", "balanced", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("ece", "calibration error", "number"),
        Column("difference", "against zero-shot", "points"),
        Column("p_value", "p", "p"),
    )
    names = {result["method"]: result, "zero-shot": result["zero_shot"]}
    against = result["against_zero_shot"]
    rows = [
        (
            name,
            score_cell(scores),
            scores["balanced_accuracy"],
            scores["log_loss"],
            scores["ece"],
            None if name == "zero-shot" else change_cell(against),
            None if name == "zero-shot" else against["p_value"],
        )
        for name, scores in names.items()
    ]
    return Table("classifiers", "Beside zero-shot", columns, tuple(rows), marked=0)


def _fitted_notes(result: Json) -> tuple[str, ...]:
    notes = []
    if result["n_learned_from"]:
        notes.append(
            f"The classifier was learned or chosen on {result['n_learned_from']} of these images: "
            "its scores flatter it."
        )
    if kept := result["abstention"]:
        right = "" if kept["precision"] is None else f", {percent(kept['precision'])} of them right"
        notes.append(f"It answers {percent(kept['coverage'])} of the images{right}.")
    return tuple(notes)


def _retrieval(run: RunDir, result: Json) -> Document:
    parts = {
        title: _recall_cell(result[name], "recall_at_1") for name, title in _DIRECTIONS.items()
    }
    sentence = "At first place: " + ", ".join(
        f"{title} {percent(c['value'])} (95 % interval {interval(c['low'], c['high'])})"
        for title, c in parts.items()
    )
    section = Section(
        name="retrieval",
        title="Retrieval",
        question="Do images find their captions, and captions their image?",
        conclusion=f"{sentence}.",
        numbers=dict(result),
        blocks=(_recall_table(result),),
    )
    return Document(
        title=f"Retrieval on {result['data']}",
        summary=f"{result['model']}, {result['n_images']} images, {result['n_texts']} captions",
        answer=f"{sentence}.",
        answer_title="Captions and images",
        command="",
        tiles=tuple(
            Tile(
                f"Recall at 1, {title}",
                percent(cell["value"]),
                f"{interval(cell['low'], cell['high'])}, n = {result[name]['n']}",
            )
            for (name, title), cell in zip(_DIRECTIONS.items(), parts.values(), strict=True)
        ),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _recall_cell(scores: Json, measure: str) -> dict[str, float]:
    ends = scores["intervals"][measure]
    return {"value": scores[measure], "low": ends["low"], "high": ends["high"]}


def _recall_table(result: Json) -> Table:
    measures = list(result["image_to_text"]["intervals"])
    columns = (
        Column("direction", "direction"),
        Column("n", "queries", "integer"),
        *(Column(measure, measure.replace("_", " "), "percent") for measure in measures),
    )
    rows = [
        (title, result[name]["n"], *(_recall_cell(result[name], m) for m in measures))
        for name, title in _DIRECTIONS.items()
    ]
    return Table("recalls", "Recall", columns, tuple(rows))
