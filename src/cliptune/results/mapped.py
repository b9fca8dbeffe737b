"""What ``map`` gives: the gap between images and texts of each view, and what changed.

It knows nothing about how the numbers are computed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from cliptune.features.guard import RowsChecked
from cliptune.modality_gap.tables import number_rows, omitted_sentence
from cliptune.results.base import Result
from cliptune.results.plain import ABSENT
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["GapNumber", "MapResult", "MapViewResult"]

Json = Mapping[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class GapNumber:
    """A number of the gap, with its uncertainty.

    Attributes:
        value: The number.
        interval: Both ends of its 95 % interval.
        n: What it rests on.
        method: How the interval was made.
    """

    value: float
    interval: tuple[float, float]
    n: int
    method: str


@dataclass(frozen=True, kw_only=True)
class MapViewResult:
    """What one encoder, or the classifier of one run, makes of the images.

    Attributes:
        name: What the user calls it.
        dimensions: Length of a vector.
        explained_variance: Shares of the plane's two axes, where it has them.
        gap: Numbers of the gap, by name.
        omitted: Why a number is missing, by name.
        accuracy: Of the nearest text, and of its own predictions.
        reading: The numbers in words.
        shift: What moving along the gap does.
    """

    name: str
    dimensions: int
    explained_variance: tuple[float, ...] | None
    gap: Mapping[str, GapNumber]
    omitted: Mapping[str, str]
    accuracy: Mapping[str, GapNumber] | None
    reading: str
    shift: Any  # Any: plain JSON values


@dataclass(frozen=True, kw_only=True)
class MapResult(Result):
    """Images and texts in one plane, and how far apart and how alike they are.

    Attributes:
        data: The data set, as it was named.
        split: As it was asked for.
        sample: Images that were asked for.
        shift: Whether images and texts were also moved along the gap.
        engine: What ran the first encoder.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        kind: Texts are ``classes`` or ``captions``.
        n_images: Images.
        n_texts: Texts.
        seed: Of everything random.
        projection: How the space became a plane.
        views: One an encoder or run, the "before" first.
        gap: Numbers of the first view.
        before: The same, where there are several views.
        after: Those of the second.
        change: From the first to the second, where there are several.
        accuracy_change: Likewise.
        verdict: What the change means.
        comparisons: From the first view to each other.
        n_drawn: Images that the figure shows.
        remarks: What a careful reader has to know.
        templates: Texts by view.
        figures: Files by kind.
        points: The file of points.
        run: The folder with numbers, points and figures.
        atlas: The command that opens the points in Embedding Atlas.
        seconds: All of it.
    """

    data: str
    split: str | None
    sample: int | None
    shift: bool
    engine: str
    precision: str
    rows_checked: RowsChecked
    kind: str
    n_images: int
    n_texts: int
    seed: int
    projection: Json
    views: tuple[MapViewResult, ...]
    gap: Mapping[str, GapNumber]
    before: Json | None = field(default=None, metadata=ABSENT)
    after: Json | None = field(default=None, metadata=ABSENT)
    change: Json | None = field(default=None, metadata=ABSENT)
    accuracy_change: Json | None = field(default=None, metadata=ABSENT)
    verdict: str | None = field(default=None, metadata=ABSENT)
    comparisons: tuple[Json, ...] | None = field(default=None, metadata=ABSENT)
    n_drawn: int
    remarks: tuple[str, ...]
    templates: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, str]
    points: str
    run: str
    atlas: tuple[str, ...] | None = field(default=None, metadata=ABSENT)
    seconds: float | None = field(default=None, metadata=ABSENT)

    def blocks(self) -> tuple[Shown, ...]:
        """Return all numbers, what they say, and where the figures are."""
        numbers = self.to_dict()
        columns, rows = number_rows(numbers)
        omitted = omitted_sentence(numbers["views"])
        return (
            TextTable.of(
                f"{self.data}: {self.n_images} images, {self.n_texts} texts", columns, rows
            ),
            "Brackets are 95 % intervals; * marks a change whose interval leaves out zero.",
            *(f"{view.name}: {view.reading}" for view in self.views),
            *(
                f"{c['after']} against {c['before']}: {c['verdict']}"
                for c in self.comparisons or ()
            ),
            *(remark for remark in (omitted, *self.remarks) if remark),
            *(f"{kind}: {path}" for kind, path in self.figures.items()),
            *((f"Embedding Atlas: {shlex.join(self.atlas)}",) if self.atlas else ()),
            f"Numbers, points and figures: {self.run}",
        )

    def _repr_html_(self) -> str:
        """Return the map itself, where its figure is still there, above the numbers."""
        drawn = Path(self.figures.get("svg", ""))
        picture = ""
        if drawn.is_file():
            import base64

            data = base64.b64encode(drawn.read_bytes()).decode("ascii")
            name = escape(f"Map of {self.data}", quote=True)
            source = f"data:image/svg+xml;base64,{data}"
            picture = f'<img alt="{name}" style="max-width:100%" src="{source}">'
        return picture + super()._repr_html_()
