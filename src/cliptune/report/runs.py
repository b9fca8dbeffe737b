"""Runs of ``fit`` as documents.

It knows what the command writes into ``metrics.json`` and computes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from cliptune.report.blocks import change_cell, per_class_table, run_facts, score_cell, score_tile
from cliptune.report.document import Column, Document, Section, Table
from cliptune.report.label_sets import fit_labels_document
from cliptune.runs import RunDir
from cliptune.system.formatting import interval, percent

__all__ = ["fit_document"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "metrics.json"


def fit_document(run: RunDir) -> Document:
    """Read a run of ``fit``."""
    result = run.read_json(_SOURCE)
    if result["task"] == "fit-labels":
        return fit_labels_document(run, result)
    methods = result.get("methods") or {result["method"]: result}
    shipped, test = result["method"], result["test"]
    sentence = result.get("recommendation") or (
        f"{shipped} reaches {percent(test['accuracy'])} on the locked test (95 % interval "
        f"{interval(*test['interval'])}, n = {test['n']})."
    )
    section = Section(
        name="methods",
        title="Methods on the locked test",
        question="What does each method give, and is it better than zero-shot?",
        conclusion=sentence,
        numbers=result,
        blocks=(
            _methods_table(methods, shipped),
            *(
                [_linear_table(methods)]
                if "methods" in result and "against_linear" in result
                else []
            ),
            *([_few_shot_table(result["few_shot"])] if "few_shot" in result else []),
            per_class_table(test["per_class"], title=f"Per class, {shipped}"),
        ),
        notes=tuple(result["notes"]),
        seconds=sum(m["seconds"] for m in methods.values()),
    )
    return Document(
        title=f"Fit on {result['data']}",
        summary=f"{result['model']}, {len(result['class_names'])} classes, "
        f"{result['n_train']} training images",
        answer=sentence,
        answer_title="What to ship",
        command=f"cliptune predict IMAGE --run {shlex.quote(result['run'])}",
        tiles=(
            score_tile("Zero-shot", result["zero_shot"]),
            *([] if shipped == "zero-shot" else [score_tile(shipped, test)]),
        ),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _methods_table(methods: Mapping[str, Json], shipped: str) -> Table:
    columns = (
        Column("method", "method"),
        Column("validation", "held out", "percent"),
        Column("test", "locked test", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("p_value", "p", "p"),
        Column("parameters", "parameters", "integer"),
        Column("seconds", "time", "seconds"),
    )
    rows = [
        (
            name,
            score_cell(m["val"]) if m["val"] else None,  # one image a class: none held out
            score_cell(m["test"]),
            change_cell(m["against_zero_shot"]),
            m["against_zero_shot"]["p_value"],
            m["trained_parameters"],
            m["seconds"],
        )
        for name, m in methods.items()
    ]
    marked = list(methods).index(shipped)
    return Table("methods", "Accuracy and cost", columns, tuple(rows), marked=marked)


def _linear_table(methods: Mapping[str, Json]) -> Table:
    columns = (
        Column("method", "method"),
        Column("difference", "against linear", "points"),
        Column("p_value", "p", "p"),
    )
    rows = [
        (name, change_cell(change), change["p_value"])
        for name, m in methods.items()
        if name != "linear" and (change := m.get("against_linear"))
    ]
    return Table("against_linear", "Against linear, on the locked test", columns, tuple(rows))


def _few_shot_table(few_shot: Json) -> Table:
    columns = (
        Column("method", "method"),
        Column("shots", "images a class", "integer"),
        Column("mean", "mean accuracy", "percent"),
        Column("std", "standard deviation over draws", "percent"),
    )
    rows = [
        (name, int(shots), at["test"]["accuracy"]["mean"], at["test"]["accuracy"]["std"])
        for name, by_shots in few_shot["methods"].items()
        for shots, at in by_shots.items()
    ]
    title = f"Few-shot, on {few_shot['n']} locked test images"
    return Table("few_shot", title, columns, tuple(rows))
