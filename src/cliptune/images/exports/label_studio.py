"""Label Studio: JSON, JSON-MIN and CSV with choices, taxonomies or boxes.

It knows the formats of its exporter (label-studio-sdk, ``converter``). Images are named as the
server names them: ``/data/upload/1/1a2b3c4d-ant.jpg``, ``/data/local-files/?d=set/ant.jpg``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cliptune.images.exports.annotated import (
    Annotated,
    AnnotationReader,
    agree,
    shares_of,
    votes_in_words,
)
from cliptune.images.label_cells import as_set
from cliptune.images.reading import Ignored
from cliptune.images.records import LabelSet
from cliptune.images.tree import is_image_name

__all__ = ["CSV_COLUMNS", "READER", "read_short_rows"]

Json = Any  # Any: a JSON value of a stranger

_UPLOAD = re.compile(r"[0-9a-f]{8}-")
_FACTS = frozenset(
    {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "inner_id"}
)
CSV_COLUMNS = frozenset({"annotation_id", "annotator", "lead_time"})


def read_export(path: Path, value: Json) -> Annotated | None:
    """Read the JSON or the short JSON of the exporter."""
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        return None
    if all("data" in task and _annotations(task) is not None for task in value):
        return _read_tasks(value)
    if all(set(row) >= CSV_COLUMNS for row in value):
        return read_short_rows(value, "Label Studio JSON-MIN")
    return None


READER = AnnotationReader("Label Studio", ".json", read_export)


def _annotations(task: Mapping[str, Json]) -> list[Json] | None:
    found = task.get("annotations", task.get("completions"))
    return found if isinstance(found, list) else None


def _read_tasks(tasks: list[Json]) -> Annotated:
    images, sets, several = [], list[LabelSet](), False
    votes: list[dict[str, float] | None] = []
    n_skipped, n_split, n_tied, without = 0, 0, 0, list[str]()
    for task in tasks:
        cell = _image_of(task["data"]) if isinstance(task["data"], dict) else None
        if cell is None:
            without.append(str(task.get("id", "")))
            continue
        answers = []
        for annotation in _annotations(task) or ():
            if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
                n_skipped += 1
                continue
            labels, is_region = _labels_of(annotation.get("result") or ())
            several = several or is_region
            if labels or is_region or annotation.get("result"):
                answers.append(labels)
        found, same = agree(answers)
        n_tied += found is None and not same
        n_split += found is not None and not same
        images.append(_local(cell))
        sets.append(found)
        votes.append(shares_of(answers))
    ignored = [Ignored(n_skipped, "annotations", "was_cancelled", "skipped by their annotator")]
    ignored.append(Ignored(len(without), "tasks without an image", without[0] if without else ""))
    return Annotated(
        layout="Label Studio JSON",
        images=images,
        label_sets=sets,
        several=several,
        notes=votes_in_words(n_split, n_tied),
        ignored=tuple(one for one in ignored if one.n),
        votes=votes,
    )


def _labels_of(result: Iterable[Json]) -> tuple[tuple[str, ...], bool]:
    """Return the labels of one annotation, and whether they are of parts of the image."""
    labels: list[str] = []
    is_region = False
    for region in result:
        value = region.get("value") if isinstance(region, dict) else None
        kind = region.get("type", "") if isinstance(region, dict) else ""
        if not isinstance(value, dict):
            continue
        if kind == "choices":
            labels += [str(choice) for choice in value.get("choices", ())]
        elif kind == "taxonomy":
            labels += [str(path[-1]) for path in value.get("taxonomy", ()) if path]
        elif kind.endswith("labels") and isinstance(value.get(kind), list):
            labels += [str(label) for label in value[kind]]
            is_region = True
    return tuple(dict.fromkeys(labels)), is_region


def read_short_rows(rows: Iterable[Mapping[str, Json]], layout: str) -> Annotated | None:
    """Read rows of the short JSON or of the CSV: one for each annotation of an image.

    Args:
        rows: The rows, as a CSV or JSON reader gives them.
        layout: What to call them.

    Returns:
        What they say; nothing where no column holds images.
    """
    answers: dict[str, list[tuple[str, ...]]] = {}
    for number, row in enumerate(rows):
        cell = _image_of(row)
        if cell is None:
            return None
        found = answers.setdefault(_local(cell), [])
        for column, value in row.items():
            if column in _FACTS or value in (None, "", cell) or _is_path(value):
                continue
            labels = as_set(value, f"row {number}", column)
            if labels:
                found.append(labels)
    votes = {image: agree(given) for image, given in answers.items()}
    return Annotated(
        layout=layout,
        images=list(votes),
        label_sets=[labels for labels, _ in votes.values()],
        votes=[shares_of(given) for given in answers.values()],
        notes=votes_in_words(
            sum(labels is not None and not same for labels, same in votes.values()),
            sum(labels is None and not same for labels, same in votes.values()),
        ),
    )


def _image_of(cells: Mapping[str, Json]) -> str | None:
    """Return the cell that names an image: of the usual columns, or else of any."""
    usual = [cells[key] for key in ("image", "img", "image_url", "url") if key in cells]
    return next((cell for cell in (*usual, *cells.values()) if _is_path(cell)), None)


def _is_path(cell: Json) -> bool:
    return isinstance(cell, str) and is_image_name(_local(cell).rpartition("/")[2])


def _local(cell: str) -> str:
    """Return the path of an image without what a server puts before and after it."""
    address, _, query = cell.partition("?")
    if address.rstrip("/").endswith("local-files") and query.startswith("d="):
        address = query[2:]
    folder, slash, name = unquote(address).rpartition("/")
    is_upload = "upload" in folder.split("/") and _UPLOAD.match(name)
    return f"{folder}{slash}{name[9:] if is_upload else name}"
