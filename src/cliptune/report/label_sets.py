"""Runs of several labels an image as documents.

It knows what the commands write into ``metrics.json`` and computes nothing.
"""

from __future__ import annotations

import shlex
from typing import Any

from cliptune.report.blocks import run_facts
from cliptune.report.document import Column, Document, Section, Table
from cliptune.runs import RunDir
from cliptune.system.formatting import interval, percent

__all__ = ["evaluate_labels_document", "fit_labels_document", "label_class_table"]

Json = dict[str, Any]  # Any: plain JSON values

_SOURCE = "metrics.json"


def fit_labels_document(run: RunDir, result: Json) -> Document:
    """Read a run of ``fit`` on images with several labels."""
    section = Section(
        name="methods",
        title="Methods on the locked test",
        question="What does each method give?",
        conclusion=result["recommendation"],
        numbers=result,
        blocks=(
            _methods_table(result["methods"], result["method"]),
            label_class_table(result["test"], f"Per class, {result['method']}"),
        ),
        notes=tuple(result["notes"]),
        seconds=result["seconds_total"],
    )
    return Document(
        title=f"Fit on {result['data']}",
        summary=f"{result['model']}, several labels an image, {len(result['class_names'])} "
        f"classes, {result['n_train']} training images",
        answer=result["recommendation"],
        answer_title="What to ship",
        command=f"cliptune predict IMAGE --run {shlex.quote(result['run'])}",
        tiles=(),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def evaluate_labels_document(run: RunDir, result: Json) -> Document:
    """Read a run of ``evaluate`` on images with several labels."""
    metrics = result["metrics"]
    found = metrics["mean_average_precision"]
    sentence = (
        f"{result['method']} reaches a mean average precision of {percent(found['value'])} on "
        f"{metrics['n']} images (95 % interval {interval(found['low'], found['high'])})."
    )
    section = Section(
        name="labels",
        title="Several labels an image",
        question="How well is each label found?",
        conclusion=sentence,
        numbers=result,
        blocks=(label_class_table(metrics, "Per class"),),
        notes=(),
        seconds=result["seconds"],
    )
    return Document(
        title=f"Evaluation on {result['data']}",
        summary=f"{result['model']}, {len(result['class_names'])} classes",
        answer=sentence,
        answer_title="What was found",
        command=f"cliptune evaluate {shlex.quote(result['data'])}",
        tiles=(),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _methods_table(methods: Json, shipped: str) -> Table:
    columns = (
        Column("method", "method"),
        Column("features", "features"),
        Column("held_out", "held out mAP", "percent"),
        Column("test", "test mAP", "percent"),
        Column("micro_f1", "micro F1", "percent"),
        Column("macro_f1", "macro F1", "percent"),
        Column("seconds", "time", "seconds"),
    )
    rows = tuple(
        (
            name,
            one["features"],
            one["cross_validation"]["mean_average_precision"],
            one["test"]["mean_average_precision"]["value"],
            one["test"]["micro_f1"]["value"],
            one["test"]["macro_f1"]["value"],
            one["seconds"],
        )
        for name, one in methods.items()
    )
    return Table("methods", "Scores and cost", columns, rows, marked=list(methods).index(shipped))


def label_class_table(metrics: Json, title: str) -> Table:
    """Make a table of every class.

    Args:
        metrics: A ``LabelSetMetrics`` as plain JSON values.
        title: Of the table.
    """
    columns = (
        Column("class", "class"),
        Column("n", "images", "integer"),
        Column("average_precision", "average precision", "percent"),
        Column("precision", "precision", "percent"),
        Column("recall", "recall", "percent"),
        Column("f1", "F1", "percent"),
        Column("threshold", "threshold", "number"),
    )
    rows = tuple(
        (
            one["name"], one["n"], one["average_precision"], one["precision"], one["recall"],
            one["f1"], one["threshold"],
        )
        for one in metrics["per_class"]
    )  # fmt: skip
    return Table("per_class", title, columns, rows)
