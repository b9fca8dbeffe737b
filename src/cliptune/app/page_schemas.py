"""What the endpoints take and give: the schemas of ``/openapi.json``.

It knows plain values alone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cliptune.app.grid import Only, Part, Sort

__all__ = [
    "Asked",
    "ClassesIn",
    "CompareIn",
    "Detail",
    "ExportIn",
    "JobOut",
    "LabelIn",
    "LabelOut",
    "NextIn",
    "PageState",
    "PlaneOut",
    "RefitIn",
    "RunIn",
    "ShipIn",
    "TabIn",
    "Tile",
    "Tiles",
    "ViewIn",
    "ViewOut",
]

_LONGEST = 200


class Asked(BaseModel):
    """What people send; what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class TabIn(Asked):
    """Who is at work and on which page."""

    who: str = Field("", max_length=_LONGEST)
    tab: str = Field("api", max_length=_LONGEST)


class LabelIn(TabIn):
    """An answer for images."""

    images: list[str] = Field(min_length=1, max_length=100_000)
    mark: Literal["label", "none", "skip"] = "label"
    label: str = Field("", max_length=_LONGEST)
    before: list[str | list[str] | None] | None = None


class ClassesIn(TabIn):
    """Names of classes."""

    names: list[str] = Field(min_length=1, max_length=1000)


class ViewIn(Asked):
    """What to show; see ``GridQuery``."""

    label: str | None = None
    predicted: str | None = None
    part: Part = "all"
    only: Only = "all"
    low: float = 0.0
    high: float = 1.0
    name: str = ""
    text: str = Field("", max_length=1000)
    like: str = ""
    sort: Sort = "data"
    lasso: list[tuple[float, float]] = Field(default=[], max_length=2000)
    images: list[str] | None = None


class NextIn(Asked):
    """How many images to label next."""

    n: int = Field(50, ge=1, le=1000)


class RefitIn(Asked):
    """How to fit: ``quick``, ``all``, or a head."""

    method: str = "quick"


class RunIn(TabIn):
    """A run, as the timeline calls it."""

    run: str


class CompareIn(Asked):
    """Two runs."""

    first: str
    second: str


class ShipIn(Asked):
    """A run, and a format of ``cliptune export``."""

    run: str
    form: Literal["onnx", "openvino"] = "onnx"


class ExportIn(Asked):
    """A format of ``cliptune data --to``."""

    form: str


class ViewOut(BaseModel):
    """A list of images, kept as it is while people act on them."""

    view: str
    total: int


class Tile(BaseModel):
    """One image as the grid shows it."""

    content: str
    id: str
    label: str | None
    mark: str
    test: bool
    predicted: str | None
    probability: float | None
    abstains: bool
    conflict: bool
    why: str


class Tiles(BaseModel):
    """A stretch of a list of images."""

    offset: int
    total: int
    tiles: list[Tile]


class Probable(BaseModel):
    """A class and how probable it is."""

    label: str
    probability: float


class Said(BaseModel):
    """One act about an image."""

    act: int
    who: str
    when: str
    answer: str
    undone: bool


class Detail(BaseModel):
    """All that is known of one image."""

    tile: Tile
    path: str
    data_label: str | None
    top: list[Probable]
    neighbours: list[Tile]
    history: list[Said]
    conflict: str


class ClassOut(BaseModel):
    """A class and how many images outside the test have it as a label."""

    name: str
    n: int


class JobOut(BaseModel):
    """How a piece of work stands."""

    number: int
    kind: str
    state: str
    done: int
    total: int
    text: str


class CountsOut(BaseModel):
    """How many images there are of what."""

    images: int
    labelled: int
    open: int
    test: int
    test_labelled: int
    none: int
    skipped: int
    conflicts: int


class PageState(BaseModel):
    """What stands above the grid."""

    data: str
    model: str
    user: str
    counts: CountsOut
    classes: list[ClassOut]
    run: str
    run_path: str
    version: int
    acts: int
    openings: int
    can_undo: bool
    can_redo: bool
    job: JobOut
    changed: str
    forms: list[str]


class LabelOut(BaseModel):
    """An act that is on the disk."""

    act: int
    tiles: list[Tile]
    state: PageState


class PlaneOut(BaseModel):
    """Where images and class texts lie; of images also the class that stands or is believed."""

    x: list[float]
    y: list[float]
    images: list[str]
    classes: list[int]
    class_names: list[str]
    texts: list[tuple[float, float]]
