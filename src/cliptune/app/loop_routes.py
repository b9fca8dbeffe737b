"""Endpoints to choose, re-fit, prove and ship, below ``/api``.

It knows HTTP and schemas; what an endpoint does is a function of ``workflows`` or of the workbench.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Response, UploadFile

from cliptune.app.desk import Desk
from cliptune.app.dropped import predict_dropped
from cliptune.app.page_schemas import (
    CompareIn,
    ExportIn,
    JobOut,
    NextIn,
    PageState,
    RefitIn,
    RunIn,
    ShipIn,
    TabIn,
)
from cliptune.app.shipping import confusion_of, export_labels, export_run, labels_as_csv
from cliptune.results.labelled_next import LabelNextResult
from cliptune.results.refitted import RunComparison, TestOpening
from cliptune.workflows.label_next import propose_labels
from cliptune.workflows.prove import compare_runs, list_runs, open_test

__all__ = ["loop"]

Plain = dict[str, Any]  # Any: plain JSON values


def loop(desk: Desk) -> APIRouter:
    """Make the endpoints that close the loop."""
    router = APIRouter(prefix="/api")
    _add_fitting(router, desk)
    _add_proof(router, desk)
    _add_shipping(router, desk)
    return router


def _add_fitting(router: APIRouter, desk: Desk) -> None:
    @router.post("/next")
    def choose_next(asked: NextIn) -> Plain:
        desk.bench.refresh()
        found = propose_labels(desk.bench.project, asked.n, data=desk.data)
        return {**found.to_dict(), "views": _views_of(desk, found)}

    @router.post("/refit")
    def refit(asked: RefitIn) -> JobOut:
        desk.jobs.start("re-fitting", lambda show, stop: desk.bench.refit(asked.method, show, stop))
        return desk.job()

    @router.get("/job")
    def job() -> JobOut:
        return desk.job()

    @router.post("/job/cancel")
    def cancel() -> JobOut:
        desk.jobs.cancel()
        return desk.job()


def _add_proof(router: APIRouter, desk: Desk) -> None:
    @router.get("/runs")
    def runs() -> list[Plain]:
        from cliptune.results.plain import record_to_plain

        return [record_to_plain(entry) for entry in list_runs(desk.bench.project)]

    @router.post("/runs/show")
    def show(asked: RunIn) -> PageState:
        desk.bench.show_run(asked.run)
        return desk.state(asked.tab)

    @router.post("/compare")
    def compare(asked: CompareIn) -> Plain:
        found: RunComparison = compare_runs(desk.bench.project, asked.first, asked.second)
        return found.to_dict()

    @router.post("/test")
    def test(asked: RunIn) -> Plain:
        opened: TestOpening = open_test(
            desk.bench.project, asked.run, who=asked.who or desk.user, tab=asked.tab
        )
        desk.bench.believe_anew()
        return opened.to_dict()

    @router.get("/confusion")
    def confusion() -> Plain:
        return confusion_of(desk.bench)


def _add_shipping(router: APIRouter, desk: Desk) -> None:
    @router.post("/reload")
    def reload(asked: TabIn) -> PageState:
        desk.reopen()
        return desk.state(asked.tab)

    @router.post("/drop")
    async def drop(files: list[UploadFile], keep: bool = False) -> list[Plain]:
        given = [(file.filename or "image", await file.read()) for file in files]
        return predict_dropped(desk, given, keep=keep)

    @router.post("/export")
    def export(asked: ExportIn) -> Plain:
        return export_labels(desk.bench.project, asked.form)

    @router.post("/ship")
    def ship(asked: ShipIn) -> JobOut:
        project = desk.bench.project
        desk.jobs.start(
            f"exporting {asked.run}",
            lambda show, stop: export_run(project, asked.run, asked.form, show, stop),
        )
        return desk.job()

    @router.get("/labels.csv")
    def labels() -> Response:
        text = labels_as_csv(desk.bench.project)
        headers = {"Content-Disposition": 'attachment; filename="labels.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _views_of(desk: Desk, found: LabelNextResult) -> Plain:
    """Keep the proposals and the suspects as lists that the grid can show."""
    row_of = desk.bench.project.row_of
    said = {
        one.content: f"{one.why}, {100 * one.expected_gain:+.2f} points" for one in found.images
    }
    doubted = {
        one.content: f"{one.why}: labelled {one.label}, looks like {one.suggested}"
        for one in found.suspects
    }
    views = {}
    for name, reasons in (("images", said), ("suspects", doubted)):
        rows = [row_of[image] for image in reasons]
        why = dict(zip(rows, reasons.values(), strict=True))
        views[name] = desk.views.keep(np.array(rows, dtype=np.int64), why).model_dump()
    return views
