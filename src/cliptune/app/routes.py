"""Endpoints to look and to label, below ``/api``.

It knows HTTP and schemas; what an endpoint does is a function of the workbench.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from cliptune.annotations import Act, Answer
from cliptune.app.desk import Desk
from cliptune.app.grid import GridQuery, order_images, plane_of
from cliptune.app.page_schemas import (
    ClassesIn,
    Detail,
    LabelIn,
    LabelOut,
    PageState,
    PlaneOut,
    TabIn,
    Tiles,
    ViewIn,
    ViewOut,
)
from cliptune.app.views import make_detail, make_tiles
from cliptune.workflows.label_next import LabelView

__all__ = ["look_and_label"]

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


def look_and_label(desk: Desk) -> APIRouter:
    """Make the endpoints that show images and take labels."""
    router = APIRouter(prefix="/api")
    _add_looking(router, desk)
    _add_labelling(router, desk)
    return router


def _add_looking(router: APIRouter, desk: Desk) -> None:
    @router.get("/state")
    def state(tab: str = "api") -> PageState:
        desk.bench.refresh()
        return desk.state(tab)

    @router.post("/views")
    def make_view(asked: ViewIn) -> ViewOut:
        desk.bench.refresh()
        values = asked.model_dump()
        images = values.pop("images")
        query = GridQuery(
            **{**values, "lasso": tuple(asked.lasso)},
            images=None if images is None else tuple(images),
        )
        return desk.views.keep(order_images(desk.bench, query))

    @router.get("/views/{view}")
    def tiles(
        view: str,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Tiles:
        return desk.views.tiles(desk.bench, view, offset, limit)

    @router.get("/images/{image}")
    def detail(image: str) -> Detail:
        return make_detail(desk.bench, image)

    @router.get("/thumbs/{image}")
    def thumb(image: str, pixels: Annotated[int, Query(ge=16, le=1200)] = 160) -> Response:
        data = desk.thumbnails.get(desk.bench.project, image, pixels)
        return Response(data, media_type="image/jpeg", headers=_FOREVER)

    @router.get("/plane")
    def plane() -> PlaneOut:
        return _plane(desk)


def _add_labelling(router: APIRouter, desk: Desk) -> None:
    @router.post("/labels")
    def label(asked: LabelIn) -> LabelOut:
        before = None
        if asked.before is not None:
            before = [Answer.from_plain(one) for one in asked.before]
        act = desk.bench.label(
            asked.images,
            Answer.of(asked.mark, asked.label),
            who=asked.who or desk.user,
            tab=asked.tab,
            before=before,
        )
        return _acted(desk, act, asked.tab)

    @router.post("/undo")
    def undo(asked: TabIn) -> LabelOut:
        return _acted(desk, _turn(desk, asked, undo=True), asked.tab)

    @router.post("/redo")
    def redo(asked: TabIn) -> LabelOut:
        return _acted(desk, _turn(desk, asked, undo=False), asked.tab)

    @router.post("/classes")
    def classes(asked: ClassesIn) -> PageState:
        desk.bench.add_classes(asked.names, who=asked.who or desk.user, tab=asked.tab)
        return desk.state(asked.tab)


def _turn(desk: Desk, asked: TabIn, *, undo: bool) -> Act | None:
    return desk.bench.turn(who=asked.who or desk.user, tab=asked.tab, undo=undo)


def _acted(desk: Desk, act: Act | None, tab: str) -> LabelOut:
    standing, row_of = desk.bench.project.journal.standing, desk.bench.project.row_of
    images: tuple[str, ...] = ()
    if act is not None:
        images = act.images if act.of is None else standing.acts[act.of - 1].images
    rows = [row_of[image] for image in images if image in row_of]
    number = 0 if act is None else act.number
    return LabelOut(act=number, tiles=make_tiles(desk.bench, rows), state=desk.state(tab))


def _plane(desk: Desk) -> PlaneOut:
    """Return the plane; an image without a label has the class that it is believed to be of."""
    bench = desk.bench
    points = plane_of(bench)
    view = LabelView.of(bench.project)
    texts = bench.lookups.plane(view.class_names, view.text_rows).texts
    codes = bench.codes.copy()
    beliefs = bench.beliefs()
    if beliefs is not None:
        place = {name: code for code, name in enumerate(bench.class_names)}
        for row in (codes < 0).nonzero()[0].tolist():
            if beliefs.opened or not bench.test[row]:
                best = int(beliefs.probabilities[row].argmax())
                codes[row] = place.get(beliefs.class_names[best], -1)
    return PlaneOut(
        x=[round(float(x), 5) for x in points[:, 0]],
        y=[round(float(y), 5) for y in points[:, 1]],
        images=list(bench.project.contents),
        classes=codes.tolist(),
        class_names=list(bench.class_names),
        texts=[(float(x), float(y)) for x, y in texts] if view.class_names else [],
    )
