"""Runs of ``map`` as documents.

It knows what the command writes and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.modality_gap.definitions import DEFINITIONS
from cliptune.report.blocks import run_facts
from cliptune.report.document import Column, Document, Figure, Section, Table
from cliptune.runs import RunDir

__all__ = ["map_document"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "metrics.json"


def map_document(run: RunDir) -> Document:
    """Read a run of ``map``."""
    result = run.read_json(_SOURCE)
    views, comparisons = result["views"], result.get("comparisons", ())
    readings = [f"{view['name']}: {view['reading']}" for view in views]
    verdicts = [f"{c['after']} against {c['before']}: {c['verdict']}" for c in comparisons]
    sentence = " ".join(verdicts or readings)
    section = Section(
        name="map",
        title="Images and texts in one plane",
        question="How far apart are images and texts, and are they arranged alike?",
        conclusion=" ".join([*verdicts, *readings]),
        numbers=result,
        blocks=(*_figures(run), _numbers_table(views), *map(_change_table, comparisons)),
        notes=tuple(result["remarks"]),
    )
    return Document(
        title=f"Map of {result['data']}",
        summary=f"{', '.join(view['name'] for view in views)}; {result['n_images']} images, "
        f"{result['n_texts']} texts",
        answer=sentence,
        answer_title="In words",
        command="",
        tiles=(),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _figures(run: RunDir) -> list[Figure]:
    figures = [
        Figure(
            "map.svg",
            "Two-dimensional maps of images and texts",
            "Images and texts in one plane: by modality, and by class.",
            wide=True,
            links={"interactive map": "map.html", "PNG": "map.png"},
        )
    ]
    if (run.path / "shift.svg").is_file():
        words = "Scores as images and texts are moved along the gap."
        figures.append(Figure("shift.svg", words, words, wide=True, links={"PNG": "shift.png"}))
    return figures


def _numbers_table(views: list[Json]) -> Table:
    columns = (
        Column("number", "number"),
        *(Column(f"view_{k}", view["name"], "number") for k, view in enumerate(views)),
        Column("n", "n", "integer"),
    )
    rows = []
    for name, definition in DEFINITIONS.items():
        found = [view["gap"].get(name) for view in views]
        if any(found):
            n = next(score["n"] for score in found if score)
            rows.append((definition.title, *map(_cell, found), n))
    return Table("gap", "The gap in numbers", columns, tuple(rows), shown=len(rows))


def _change_table(comparison: Json) -> Table:
    columns = (Column("number", "number"), Column("change", "change", "number"))
    rows = [
        (DEFINITIONS[name].title, _cell(score))
        for name, score in comparison["change"].items()
        if name in DEFINITIONS
    ]
    title = f"Changes from {comparison['before']} to {comparison['after']}"
    return Table(f"change_{comparison['after']}", title, columns, tuple(rows), shown=len(rows))


def _cell(score: Json | None) -> dict[str, float] | None:
    if score is None:
        return None
    low, high = score["interval"]
    return {"value": score["value"], "low": low, "high": high}
