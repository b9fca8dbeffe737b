"""What reports of several commands share: cells, the table of classes, tiles, facts of a run.

It knows the summaries of scores that runs hold, and no command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.report.document import Column, Table, Tile
from cliptune.runs import RunDir
from cliptune.system.formatting import interval, percent

__all__ = ["change_cell", "per_class_table", "run_facts", "score_cell", "score_tile"]

Json = Mapping[str, Any]  # Any: plain JSON values


def score_cell(summary: Json) -> dict[str, float]:
    """Return the accuracy of a summary of metrics as a cell."""
    low, high = summary["interval"]
    return {"value": summary["accuracy"], "low": low, "high": high}


def change_cell(change: Json) -> dict[str, float]:
    """Return a difference of accuracies as a cell."""
    return {"value": change["difference"], "low": change["low"], "high": change["high"]}


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


def score_tile(title: str, summary: Json) -> Tile:
    """Show the accuracy of a summary of metrics at the top."""
    return Tile(
        title,
        percent(summary["accuracy"]),
        f"{interval(*summary['interval'])}, n = {summary['n']}",
    )


def run_facts(run: RunDir) -> tuple[tuple[str, str], ...]:
    """Tell how a run came about, as far as its manifest says."""
    manifest = run.manifest
    encoder = manifest.get("encoder")
    if isinstance(encoder, Mapping):
        encoder = f"{encoder['name']}, {encoder['fingerprint'][:16]}"
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    machine = manifest["machine"]
    facts = {
        "finished": manifest["finished"],
        "encoder": encoder,
        "data digest": manifest.get("data_digest", "")[:16],
        "seed": str(manifest.get("seed", "")),
        "machine": f"{machine['platform']}, {machine['cpu_count']} CPUs",
        "versions": versions,
    }
    return tuple((name, value) for name, value in facts.items() if value)
