"""How images and texts lie in their common space.

It measures the images outside the locked test; the numbers are those of ``cliptune.modality_gap``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap import MapInputs, MapOptions, MapView, ModalityMap, build_map, save_map
from cliptune.modality_gap.definitions import DEFINITIONS
from cliptune.modality_gap.relation import number_distinct
from cliptune.modality_gap.render import render_map
from cliptune.report import Column, Figure, Table
from cliptune.studies.section_context import SectionContext, SectionResult, TooSmallError
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.study_data import StudyData

__all__ = [
    "change_table",
    "draw_map",
    "gap_table",
    "held_out_rows",
    "map_inputs",
    "require_enough",
    "study_map",
]

SECTION = SectionSpec(
    name="map",
    place=70,
    title="The common space",
    question="How do images and texts lie in their common space?",
    function="study_map",
    needs="labels",
    draws_on=("zero-shot",),
    rank=50,
    seconds=8.0,
)

_FEWEST = 10


def study_map(subject: StudyData, context: SectionContext) -> SectionResult:
    """Draw one map a set of encoders and measure the gap."""
    rows = _rows_outside_test(subject, context.settings["images"])
    require_enough(rows)
    views = tuple(
        MapView(
            view.name,
            view.vectors[rows],
            view.text_rows(context.template_set(view.name).templates),
        )
        for view in subject.views
    )
    result = build_map(map_inputs(subject, rows, views), MapOptions(seed=subject.seed))
    figure = draw_map(
        context,
        result,
        stem="map",
        caption="Images and class texts in one plane, a PCA of both: by modality, and by class.",
    )
    readings = [
        f"{view['name']}: {view['reading']}" if len(views) > 1 else view["reading"]
        for view in result.numbers["views"]
    ]
    notes = (f"{len(rows):,} images {subject.where}.", *result.numbers["remarks"])
    return SectionResult(" ".join(readings), result.to_dict(), (figure, gap_table(result)), notes)


def _rows_outside_test(subject: StudyData, most: int) -> NDArray[np.int64]:
    """Return the validation images first, then others outside the test, up to a number."""
    rng = np.random.default_rng([subject.seed, 7])
    if not subject.is_divided:
        return np.sort(rng.permutation(subject.open_rows)[:most])
    val, train = subject.partition.val, subject.partition.train
    return np.sort(np.concatenate([rng.permutation(val), rng.permutation(train)])[:most])


def held_out_rows(subject: StudyData, most: int) -> NDArray[np.int64]:
    """Return validation images only, up to a number: what training changed on others is no news."""
    rng = np.random.default_rng([subject.seed, 7])
    return np.sort(rng.permutation(subject.partition.val)[:most])


def require_enough(rows: NDArray[np.int64], kind: str = "images") -> None:
    """Make sure that there is something to draw.

    Raises:
        TooSmallError: There are too few.
    """
    if len(rows) < _FEWEST:
        raise TooSmallError(f"{len(rows)} {kind}; a map needs at least {_FEWEST}")


def map_inputs(
    subject: StudyData, rows: NDArray[np.int64], views: tuple[MapView, ...]
) -> MapInputs:
    """Put views of some images and of all class texts together."""
    table = subject.table.select(rows)
    contents = subject.views[0].store.identify(table, [""] * len(table)).contents
    return MapInputs(
        data=subject.data,
        image_ids=table.ids,
        views=views,
        texts=table.class_names,
        text_groups=np.arange(len(table.class_names)),
        labels=table.labels,
        class_names=table.class_names,
        load_image=table.load_image,
        image_items=number_distinct(np.asarray(contents)),
    )


def draw_map(context: SectionContext, result: ModalityMap, *, stem: str, caption: str) -> Figure:
    """Write a map's numbers, points and figures, the interactive page among them."""
    folder = context.folder / stem
    save_map(result, folder)
    files = {
        kind: context.file(f"{stem}/{p.name}") for kind, p in render_map(result, folder).items()
    }
    return Figure(
        files["svg"],
        "Two-dimensional maps of images and class texts",
        caption,
        wide=True,
        links={"interactive map": files["html"], "PNG": files["png"]},
    )


def gap_table(result: ModalityMap) -> Table:
    """Make a table of every number of every view."""
    views = result.numbers["views"]
    columns = (
        Column("number", "number"),
        *(Column(view["name"], view["name"], "number") for view in views),
        Column("n", "n", "integer"),
    )
    rows = []
    for name, definition in DEFINITIONS.items():
        found = [view["gap"].get(name) for view in views]
        if any(found):
            n = next(score["n"] for score in found if score)
            rows.append((definition.title, *map(_cell, found), n))
    return Table("gap", "The gap in numbers", columns, tuple(rows))


def change_table(result: ModalityMap, name: str, title: str) -> Table:
    """Make a table of every number before, after, and its change."""
    numbers = result.numbers
    columns = (
        Column("number", "number"),
        Column("before", "before", "number"),
        Column("after", "after", "number"),
        Column("change", "change", "number"),
        Column("n", "n", "integer"),
    )
    rows = [
        (
            DEFINITIONS[number].title,
            _cell(numbers["before"].get(number)),
            _cell(numbers["after"].get(number)),
            _cell(change),
            change["n"],
        )
        for number, change in numbers["change"].items()
    ]
    note = "A change whose interval leaves zero out is measurable."
    return Table(name, title, columns, tuple(rows), note=note)


def _cell(score: dict[str, Any] | None) -> dict[str, float] | None:  # Any: plain JSON values
    if score is None:
        return None
    low, high = score["interval"]
    return {"value": score["value"], "low": low, "high": high}
