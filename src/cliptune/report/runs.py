"""Runs of ``fit`` and ``evaluate`` as documents.

It knows what these commands write into ``metrics.json`` and computes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from cliptune.formatting import interval, percent
from cliptune.report.document import Column, Document, Section, Table, Tile
from cliptune.runs import RunDir

__all__ = ["evaluate_document", "fit_document", "per_class_table", "score_cell"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "metrics.json"


def score_cell(summary: Json) -> dict[str, float]:
    """Return the accuracy of a summary of metrics as a cell."""
    low, high = summary["interval"]
    return {"value": summary["accuracy"], "low": low, "high": high}


def per_class_table(classes: list[Json], *, title: str, name: str = "per_class") -> Table:
    """Make the table of precision, recall and F1, the weakest class first."""
    columns = (
        Column("class", "class"),
        Column("n", "images", "integer"),
        Column("precision", "precision", "percent"),
        Column("recall", "recall", "percent"),
        Column("f1", "F1", "percent"),
    )
    rows = [
        (
            c["name"],
            c["n"],
            c["precision"],
            {"value": c["recall"], "low": c["recall_low"], "high": c["recall_high"]},
            c["f1"],
        )
        for c in sorted(classes, key=lambda c: float(c["f1"]))
        if c["n"]
    ]
    return Table(name, title, columns, tuple(rows), note="The weakest class first.", shown=8)


def fit_document(run: RunDir) -> Document:
    """Read a run of ``fit``."""
    result = run.read_json(_SOURCE)
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
            _tile("Zero-shot", result["zero_shot"]),
            *([] if shipped == "zero-shot" else [_tile(shipped, test)]),
        ),
        sections=(section,),
        facts=_facts(run),
        source=_SOURCE,
    )


def _methods_table(methods: Mapping[str, Json], shipped: str) -> Table:
    columns = (
        Column("method", "method"),
        Column("validation", "validation", "percent"),
        Column("test", "locked test", "percent"),
        Column("difference", "against zero-shot", "points"),
        Column("p_value", "p", "p"),
        Column("parameters", "parameters", "integer"),
        Column("seconds", "time", "seconds"),
    )
    rows = [
        (
            name,
            score_cell(m["val"]),
            score_cell(m["test"]),
            _change_cell(m["against_zero_shot"]),
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
        (name, _change_cell(change), change["p_value"])
        for name, m in methods.items()
        if name != "linear" and (change := m.get("against_linear"))
    ]
    return Table("against_linear", "Against linear, on the locked test", columns, tuple(rows))


def _change_cell(change: Json) -> dict[str, float]:
    return {"value": change["difference"], "low": change["low"], "high": change["high"]}


def evaluate_document(run: RunDir) -> Document:
    """Read a run of ``evaluate``."""
    result = run.read_json(_SOURCE)
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
        numbers=result,
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
        tiles=(_tile("Zero-shot", result),),
        sections=(section,),
        facts=_facts(run),
        source=_SOURCE,
    )


def _tile(title: str, summary: Json) -> Tile:
    return Tile(
        title,
        percent(summary["accuracy"]),
        f"{interval(*summary['interval'])}, n = {summary['n']}",
    )


def _facts(run: RunDir) -> tuple[tuple[str, str], ...]:
    manifest = run.manifest
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    return (
        ("finished", manifest["finished"]),
        ("encoder", f"{manifest['encoder']['name']}, {manifest['encoder']['fingerprint'][:16]}"),
        ("data digest", manifest["data_digest"][:16]),
        ("seed", str(manifest["seed"])),
        ("machine", f"{manifest['machine']['platform']}, {manifest['machine']['cpu_count']} CPUs"),
        ("versions", versions),
    )
