"""The certificate of an export as a document.

It knows what the command writes and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.report.document import Column, Document, Section, Table, Tile
from cliptune.system.formatting import interval, percent

__all__ = ["export_document"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "parity.json"
_COLUMNS = (
    Column("file", "graph"),
    Column("runtime", "run by"),
    Column("n", "images", "integer"),
    Column("agreement", "same class as the run", "percent"),
    Column("largest_difference", "largest difference of a probability", "number"),
    Column("mean_difference", "mean difference", "number"),
    Column("differs_most", "image that differs most"),
    Column("smallest_cosine", "smallest cosine of embeddings", "number"),
    Column("presence_agreement", "same labels present", "percent"),
    Column("resize", "levels of pixels as Pillow's", "percent"),
    Column("images_per_second", "images a second, one at a time", "number"),
    Column("bytes", "size", "bytes"),
)


def export_document(result: Json) -> Document:
    """Read what ``export`` gave."""
    graphs = result["graphs"]
    worst = min(graphs, key=lambda one: float(one["agreement"]["value"]))
    share = worst["agreement"]
    conclusion = (
        f"On {worst['n']} images of {result['data']} the most probable class is that of "
        f"{result['reference']} for {percent(share['value'])} at least "
        f"(95 % interval {interval(share['low'], share['high'])}); no probability differs by more "
        f"than {result['largest_difference']:.2g}."
    )
    section = Section(
        name="parity",
        title="Parity",
        question="Does what was exported answer as the run does?",
        conclusion=conclusion,
        numbers=dict(result),
        blocks=(_table(graphs),),
        notes=("Each ran in a process of its own, without cliptune; graphs without torch too.",),
        seconds=result["seconds"],
    )
    return Document(
        title=f"Export of {result['run']}",
        summary=f"{result['method']} on {result['model']}, {result['format']}",
        answer=conclusion,
        answer_title="Certificate of parity",
        command="",
        tiles=(
            Tile("Same class", percent(share["value"]), f"limit {percent(result['limit'])}"),
            Tile("Largest difference", f"{result['largest_difference']:.2g}", "of a probability"),
        ),
        sections=(section,),
        facts=(("classes", str(len(result["class_names"]))), ("encoder", result["fingerprint"])),
        source=_SOURCE,
    )


def _table(graphs: list[Json]) -> Table:
    names = [column.name for column in _COLUMNS]
    rows = tuple(tuple(_cell(one[name]) for name in names) for one in graphs)
    return Table("parity", "Exported graphs against the run", _COLUMNS, rows)


def _cell(value: Any) -> Any:  # Any: plain JSON values
    if isinstance(value, Mapping) and "equal" in value:
        return value["equal"]
    if isinstance(value, Mapping):
        return {name: value[name] for name in ("value", "low", "high")}
    return value
