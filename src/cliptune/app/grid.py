"""Which images a page shows and in what order: filters and sorts over what stands of each.

It knows workbenches, and nothing about HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.app.beliefs import Beliefs
from cliptune.app.workbench import Workbench
from cliptune.errors import InputError

__all__ = ["GridQuery", "Only", "Sort", "order_images"]

Only = Literal[
    "all", "open", "labelled", "error", "twin", "abstained", "none", "skipped", "conflict",
    "mended",
]  # fmt: skip
Sort = Literal["data", "name", "confidence", "least-confidence", "error", "outlier"]
Part = Literal["all", "train", "test"]


@dataclass(frozen=True, kw_only=True)
class GridQuery:
    """What a person asked to see.

    Attributes:
        label: Only images of this class.
        predicted: Only images that are believed to be of this class.
        part: ``train``: outside the test; ``test``: kept for it.
        only: Only images of a kind.
        low: Least confidence.
        high: Most confidence.
        name: Part of the file's name.
        text: Sort by how well images fit these words.
        like: Sort by likeness to this image, a digest.
        sort: The order otherwise.
        lasso: Corners of a polygon in the plane; only images in it.
        images: Only these, digests, in this order.
    """

    label: str | None = None
    predicted: str | None = None
    part: Part = "all"
    only: Only = "all"
    low: float = 0.0
    high: float = 1.0
    name: str = ""
    text: str = ""
    like: str = ""
    sort: Sort = "data"
    lasso: tuple[tuple[float, float], ...] = ()
    images: tuple[str, ...] | None = None


def order_images(bench: Workbench, query: GridQuery) -> NDArray[np.int64]:
    """Return the rows that are shown, in their order.

    What is believed of images of the locked test is not used before the test was opened.

    Raises:
        InputError: A class or an image is not known.
    """
    beliefs = bench.beliefs() if _asks_beliefs(query) else None
    if query.images is not None:
        row_of = bench.project.row_of
        return np.array([row_of[i] for i in query.images if i in row_of], dtype=np.int64)
    kept = _by_state(bench, query) & _by_belief(bench, query, beliefs)
    if query.name:
        word = query.name.casefold()
        names = (source.id.casefold() for source in bench.project.source.sources)
        kept &= np.fromiter((word in name for name in names), np.bool_, len(kept))
    if query.lasso:
        kept &= _inside(plane_of(bench), query.lasso)
    rows = np.flatnonzero(kept)
    return rows[np.argsort(_keys(bench, query, beliefs)[rows], kind="stable")]


def plane_of(bench: Workbench) -> NDArray[np.float32]:
    """Return where the images lie in the plane, float32 (N, 2)."""
    from cliptune.workflows.label_next import LabelView

    view = LabelView.of(bench.project)
    return bench.lookups.plane(view.class_names, view.text_rows).images


def _asks_beliefs(query: GridQuery) -> bool:
    return (
        query.predicted is not None
        or query.only in ("error", "abstained")
        or query.sort in ("confidence", "least-confidence", "error")
        or (query.low, query.high) != (0.0, 1.0)
    )


def _by_state(bench: Workbench, query: GridQuery) -> NDArray[np.bool_]:
    kept = np.ones(len(bench.codes), np.bool_)
    if query.label is not None:
        if query.label not in bench.class_names:
            raise InputError(f"there is no class {query.label!r:.80}; reload the page")
        kept &= bench.codes == bench.class_names.index(query.label)
    if query.part != "all":
        kept &= bench.test if query.part == "test" else ~bench.test
    marks = np.array(bench.marks)
    if query.only == "open":
        kept &= (bench.codes < 0) & (marks == "")
    elif query.only == "labelled":
        kept &= bench.codes >= 0
    elif query.only in ("none", "skipped"):
        kept &= marks == ("none" if query.only == "none" else "skip")
    elif query.only == "twin":
        kept &= bench.lookups.twins
    elif query.only == "conflict":
        images = {one.image for one in bench.project.journal.standing.conflicts()}
        kept &= np.array([image in images for image in bench.project.contents])
    elif query.only == "mended":
        kept &= (bench.source_codes >= 0) & (bench.source_codes != bench.codes)
    return kept


def _by_belief(bench: Workbench, query: GridQuery, beliefs: Beliefs | None) -> NDArray[np.bool_]:
    everything = np.ones(len(bench.codes), np.bool_)
    if not _asks_beliefs(query):
        return everything
    if beliefs is None:
        return ~everything
    kept = everything if beliefs.opened else ~bench.test
    best, confidence = beliefs.best, beliefs.confidence
    if query.predicted is not None:
        known = query.predicted in beliefs.class_names
        kept = kept & (best == beliefs.class_names.index(query.predicted) if known else False)
    if query.only == "error":
        kept = kept & is_error(bench, beliefs)
    elif query.only == "abstained":
        kept = kept & beliefs.abstains
    sure: NDArray[np.bool_] = (confidence >= query.low) & (confidence <= query.high)
    return kept & sure


def is_error(bench: Workbench, beliefs: Beliefs) -> NDArray[np.bool_]:
    """Say where a label and what is believed of the image differ, bool (N,)."""
    place = {name: code for code, name in enumerate(bench.class_names)}
    number = np.array([place[name] for name in beliefs.class_names], dtype=np.int64)
    differs: NDArray[np.bool_] = (bench.codes >= 0) & (number[beliefs.best] != bench.codes)
    return differs


def _keys(
    bench: Workbench, query: GridQuery, beliefs: Beliefs | None
) -> NDArray[np.floating[Any]] | NDArray[np.int64]:
    """Return by what images are sorted, the least first."""
    n = len(bench.codes)
    if query.text:
        return -bench.lookups.by_text(query.text)
    if query.like:
        row = bench.project.row_of.get(query.like)
        if row is None:
            raise InputError(f"{query.like!r:.80} is no image here; reload the page")
        return -bench.lookups.by_image(row)
    if query.sort == "outlier":
        return -bench.lookups.outlying
    if query.sort == "name":
        names = [source.id for source in bench.project.source.sources]
        return np.argsort(np.argsort(np.array(names, dtype=object), kind="stable"))
    if beliefs is None or query.sort == "data":
        return np.arange(n)
    if query.sort == "confidence":
        return -beliefs.confidence
    if query.sort == "least-confidence":
        return beliefs.confidence
    return _own_minus_rival(bench, beliefs)


def _own_minus_rival(bench: Workbench, beliefs: Beliefs) -> NDArray[np.float64]:
    """Return by how much the label is more probable than the best other; infinity without one."""
    place = {name: code for code, name in enumerate(beliefs.class_names)}
    columns = np.array([place.get(name, -1) for name in bench.class_names], dtype=np.int64)
    own = np.where(bench.codes >= 0, columns[bench.codes], -1)
    rows = np.flatnonzero(own >= 0)
    keys = np.full(len(own), np.inf)
    others = beliefs.probabilities[rows].copy()
    mine = others[np.arange(len(rows)), own[rows]]
    others[np.arange(len(rows)), own[rows]] = 0
    keys[rows] = mine - others.max(axis=1)
    return keys


def _inside(
    points: NDArray[np.float32], corners: tuple[tuple[float, float], ...]
) -> NDArray[np.bool_]:
    """Say which points lie in a polygon: a ray to the right crosses its edge an odd number."""
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    inside = np.zeros(len(points), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        crosses = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (x2 - x1) * (y - y1) / (y2 - y1) + x1
        inside ^= crosses & (x < at)
    return inside
