"""The application: its routes over runs, line and counters.

It knows FastAPI, and leaves every answer to the modules around it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from cliptune.errors import UnknownNameError
from cliptune.serving import schemas
from cliptune.serving.access import Counting, TokenGuard
from cliptune.serving.batching import Batcher, BusyError
from cliptune.serving.decoding import Decoder
from cliptune.serving.intake import Limits, read_predict
from cliptune.serving.metrics import CONTENT_TYPE, Metrics
from cliptune.serving.openapi import FAILURES, PREDICT_BODY
from cliptune.serving.predicting import Predictor, to_prediction
from cliptune.serving.registry import Registry
from cliptune.serving.served import ServedRun
from cliptune.serving.settings import ServeSettings, read_token
from cliptune.system.processors import usable_cores

__all__ = ["State", "build_app", "state_of"]

_TOO_MUCH = "too_many_pixels"


@dataclass(frozen=True)
class State:
    """What the routes share.

    Attributes:
        settings: As the server was started.
        registry: The runs.
        predictor: Decoding and batching.
        metrics: Counters.
        limits: Of requests.
        batcher: The lines before the encoders.
        cores: The threads that decode and compute.
    """

    settings: ServeSettings
    registry: Registry
    predictor: Predictor
    metrics: Metrics
    limits: Limits
    batcher: Batcher
    cores: ThreadPoolExecutor


def build_app(settings: ServeSettings) -> FastAPI:
    """Open the runs and put the application together.

    Raises:
        CliptuneError: A run cannot be opened, or the token cannot be read.
    """
    from cliptune.serving.systemone import add_systemone

    state = _open_state(settings)
    app = FastAPI(
        title="cliptune",
        version=version("cliptune"),
        description="Fitted image classifiers: calibrated probabilities over HTTP.",
        docs_url=None,  # the pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.serve = state
    app.add_exception_handler(BusyError, _answer_busy)
    app.add_exception_handler(TimeoutError, _answer_late)
    app.add_exception_handler(UnknownNameError, _answer_unknown)
    _add_status(app)
    _add_predict(app)
    _add_drift(app)
    add_systemone(app)
    paths = frozenset(app.openapi()["paths"])
    if settings.token_file is not None:
        app.add_middleware(TokenGuard, token=read_token(settings.token_file))
    app.add_middleware(Counting, metrics=state.metrics, paths=paths)
    return app


def _open_state(settings: ServeSettings) -> State:
    metrics = Metrics()
    # One thread a core for decoding and towers alike: images are finished in the order they came,
    # instead of all at once and late.
    cores = ThreadPoolExecutor(usable_cores(), thread_name_prefix="cliptune-core")
    batcher = Batcher(
        cores=cores,
        max_wait_seconds=settings.max_wait_ms / 1000,
        max_queue=settings.max_queue,
        on_batch=metrics.note_batch,
    )
    registry = Registry(settings, batcher.forget)
    registry.open_all()
    metrics.under_way.set_function(lambda: batcher.under_way)
    decoder = Decoder(cores, settings.max_pixels)
    limits = Limits(settings.max_items, settings.max_bytes, settings.timeout_seconds)
    predictor = Predictor(decoder, batcher, settings.timeout_seconds)
    return State(settings, registry, predictor, metrics, limits, batcher, cores)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.serve
    watching = asyncio.create_task(state.registry.keep_up())
    yield
    watching.cancel()
    await state.batcher.close()
    state.cores.shutdown(wait=False, cancel_futures=True)


def state_of(request: Request) -> State:
    """Return what the routes share."""
    state: State = request.app.state.serve
    return state


async def _shared(request: Request) -> State:
    """Return what the routes share, and not in a thread, as FastAPI calls plain functions."""
    return state_of(request)


Shared = Annotated[State, Depends(_shared)]


def _add_status(app: FastAPI) -> None:
    @app.get("/health", tags=["status"])
    async def health() -> schemas.Health:
        """Say that the process lives."""
        return schemas.Health(version=version("cliptune"))

    @app.get("/ready", tags=["status"])
    async def ready(state: Shared) -> schemas.Readiness:
        """Say whether runs can be used, and why a newer one is not."""
        problems = state.registry.problems
        runs = {
            name: schemas.RunState(digest=run.digest, problem=problems[name])
            for name, run in state.registry.runs.items()
        }
        return schemas.Readiness(ready=True, runs=runs)

    @app.get("/v1/runs", tags=["runs"], responses=FAILURES[401])
    async def runs(state: Shared) -> schemas.Runs:
        """List the runs that are served."""
        return schemas.Runs(runs=[_info(run) for run in state.registry.runs.values()])

    @app.get("/metrics", tags=["status"], response_class=Response, responses=FAILURES[401])
    async def metrics(state: Shared) -> Response:
        """Give all counters in the format of Prometheus."""
        return Response(state.metrics.render(), media_type=CONTENT_TYPE)


def _add_drift(app: FastAPI) -> None:
    @app.get("/v1/runs/{name}/drift", tags=["runs"], responses=FAILURES["run"])
    async def drift(name: str, state: Shared) -> schemas.Drift:
        """Hold what was served against the training images: two-sample tests, numbers only."""
        run = state.registry.find(name)
        if run.drift is None:
            raise HTTPException(404, "drift is not watched; start the server with --drift")
        return schemas.Drift.of(run.name, run.class_names, run.drift.report())


def _info(run: ServedRun) -> schemas.RunInfo:
    return schemas.RunInfo(
        name=run.name,
        digest=run.digest,
        model=run.model,
        method=run.method,
        class_names=list(run.class_names),
        threshold=run.threshold,
        thresholds=None if run.thresholds is None else list(run.thresholds),
    )


def _add_predict(app: FastAPI) -> None:
    @app.post(
        "/v1/predict",
        tags=["runs"],
        response_model=schemas.PredictAnswer,
        response_model_exclude_none=True,
        responses=FAILURES["predict"],
        openapi_extra=PREDICT_BODY,
    )
    async def predict(request: Request, state: Shared) -> Response:
        """Classify images: files of a form, base64 in JSON, or one image as the body."""
        start = time.perf_counter()
        intake = await read_predict(request, state.limits)
        run = state.registry.find(intake.options.run)
        said = await state.predictor.answer(intake.items, run)
        for one in said:
            if run.drift is not None and one.answer is not None:
                run.drift.add(one.answer.embeddings[0], int(one.answer.probabilities[0].argmax()))
            outcome = "answered" if one.error is None else one.error.code
            state.metrics.images.labels(run.name, outcome).inc()
        answer = schemas.PredictAnswer(
            run=run.name,
            digest=run.digest,
            model=run.model,
            method=run.method,
            threshold=run.threshold,
            predictions=[to_prediction(one, run, intake.options) for one in said],
            seconds=time.perf_counter() - start,
        )
        if len(said) == 1 and said[0].error is not None:
            status = 413 if said[0].error.code == _TOO_MUCH else 422
            detail = str(said[0].error)
            content: dict[str, Any] = {"detail": detail, **answer.model_dump(exclude_none=True)}
            return JSONResponse(content, status)
        return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")


async def _answer_busy(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, BusyError), "it is registered for that"
    seconds = max(1, math.ceil(error.retry_after_seconds))
    headers = {"Retry-After": str(seconds)}
    return JSONResponse({"detail": f"{error}; try again in {seconds} s"}, 429, headers)


async def _answer_late(request: Request, error: Exception) -> Response:
    del error
    limit = state_of(request).settings.timeout_seconds
    return JSONResponse({"detail": f"no answer within {limit:g} seconds; try again"}, 503)


async def _answer_unknown(request: Request, error: Exception) -> Response:
    del request
    return JSONResponse({"detail": str(error)}, 404)
