"""``/v1/systemone``: typed decisions about an image, by the fitted head or by zero-shot.

A choice among class names is answered by the run's calibrated head, restricted to these options;
other options, and ``noul``, by zero-shot with the descriptions as prompts. It knows runs and the
wire's questions; the header ``Cliptune-Answered-By`` says which of both answered each.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from cliptune.errors import CliptuneError
from cliptune.serving.decisions import (
    Choice,
    Noul,
    Question,
    Score,
    SystemOneAnswer,
    SystemOneRequest,
    answer_choice,
    describe,
    read_questions,
    seen_images,
)
from cliptune.serving.intake import decode_base64, read_body
from cliptune.serving.openapi import FAILURES

if TYPE_CHECKING:
    from cliptune.serving.served import Answer, ServedRun

__all__ = ["add_systemone"]

_BY = "Cliptune-Answered-By"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SystemOneRequest.model_json_schema()}},
    }
}


@dataclass(frozen=True)
class _Decision:
    """An answer, and who gave it: ``head`` or ``zero-shot``."""

    answer: dict[str, Any]  # Any: plain JSON values
    by: str


def add_systemone(app: FastAPI) -> None:
    """Add the route."""

    @app.post(
        "/v1/systemone",
        tags=["runs"],
        response_model=SystemOneAnswer,
        responses=FAILURES["systemone"],
        openapi_extra=_BODY,
    )
    async def systemone(request: Request) -> Response:
        """Answer typed questions about an image."""
        state = request.app.state.serve
        asked = _read(await read_body(request, state.limits))
        questions = _read_questions(asked)
        run = state.registry.find(asked.model)
        seen = {name: _one_image(name, asked, question) for name, question in questions.items()}
        images = await _answer_images(state, run, asked, sorted(set(seen.values())))
        decisions = {
            name: await _decide(run, name, question, images[seen[name]], tuple(asked.assets))
            for name, question in questions.items()
        }
        answer = SystemOneAnswer(
            model=asked.model,
            answers={name: one.answer for name, one in decisions.items()},
            usage={"input_tokens": 0, "output_tokens": 0},
        )
        by = json.dumps({name: one.by for name, one in decisions.items()})
        return JSONResponse(answer.model_dump(), headers={_BY: by})


def _read(body: bytes) -> SystemOneRequest:
    try:
        return SystemOneRequest.model_validate(json.loads(body))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in found]
        raise HTTPException(422, "\n".join(lines)) from error
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is no JSON") from error


def _read_questions(asked: SystemOneRequest) -> dict[str, Question]:
    try:
        return read_questions(asked.questions)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _one_image(name: str, asked: SystemOneRequest, question: Question) -> str:
    """Return the placeholder of the image that a question is about."""
    if isinstance(question, Score):
        raise HTTPException(
            400,
            f"question {name!r}: a score needs a run that was fitted on ordered classes; ask a "
            "choice among its class names",
        )
    found = seen_images(asked.state, question, tuple(asked.assets))
    if len(found) != 1:
        raise HTTPException(
            400,
            f"question {name!r} is about {len(found)} images; a run looks at one: name one asset "
            "in the state or in the question",
        )
    return found[0]


async def _answer_images(
    state: Any, run: ServedRun, asked: SystemOneRequest, names: list[str]
) -> dict[str, Answer]:  # Any: the application's state
    items = []
    for name in names:
        data = asked.assets[name].get("data_base64")
        if not isinstance(data, str):
            raise HTTPException(422, f"assets.{name}: expected data_base64, a text")
        items.append(decode_base64(name, data.rpartition("base64,")[2]))
    said = await state.predictor.answer(items, run)
    for one in said:
        if one.error is not None:
            raise HTTPException(400, f"asset {one.name!r}: {one.error}")
    return {one.name: one.answer for one in said}


async def _decide(
    run: ServedRun, name: str, question: Question, image: Answer, assets: tuple[str, ...]
) -> _Decision:
    if isinstance(question, Noul):
        texts = {
            key: describe((question.criteria or {}).get(key), assets) for key in ("true", "false")
        }
        if not all(texts.values()):
            raise HTTPException(
                400,
                f"question {name!r}: whether something is true of an image is told by two "
                "descriptions; give criteria for 'true' and 'false'",
            )
        shares = await _zero_shot(run, name, {key: (text,) for key, text in texts.items()}, image)
        return _Decision({"type": "noul", "noul": shares["true"]}, "zero-shot")
    assert isinstance(question, Choice), "a score was refused"
    places = {label: place for place, label in enumerate(run.class_names)}
    if all(option in places for option in question.criteria):
        chosen = np.array([image.probabilities[0, places[one]] for one in question.criteria])
        if run.thresholds is not None:  # labels by themselves: the odds, given that one is true
            chosen = chosen / np.maximum(1 - chosen, np.finfo(np.float64).eps)
        # restricted to the options: the softmax over them alone
        shares_of = (
            chosen / chosen.sum() if chosen.sum() > 0 else np.full(len(chosen), 1 / len(chosen))
        )
        pairs = zip(question.criteria, shares_of.tolist(), strict=True)
        return _Decision(answer_choice(dict(pairs)), "head")
    prompts = {
        option: (text,) if (text := describe(content, assets)) else _fill(run, option)
        for option, content in question.criteria.items()
    }
    return _Decision(answer_choice(await _zero_shot(run, name, prompts, image)), "zero-shot")


def _fill(run: ServedRun, option: str) -> tuple[str, ...]:
    """Put an option that nobody described into the run's templates."""
    return tuple(template.replace("{}", option) for template in run.templates) or (option,)


async def _zero_shot(
    run: ServedRun, name: str, prompts: Mapping[str, tuple[str, ...]], image: Answer
) -> dict[str, float]:
    """Return the share of each option, from the cosines of its prompts with the image."""
    if run.text_rows is None:
        raise HTTPException(
            400,
            f"question {name!r}: an export has no text tower, so that it answers only choices "
            f"among its classes: {', '.join(run.class_names[:20])}",
        )
    texts = list(dict.fromkeys(text for group in prompts.values() for text in group))
    try:
        embedded = await asyncio.to_thread(run.text_rows, texts)
    except CliptuneError as error:
        raise HTTPException(400, f"question {name!r}: {error}") from error
    row_of = dict(zip(texts, embedded, strict=True))
    means = np.stack([np.mean([row_of[t] for t in group], axis=0) for group in prompts.values()])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    logits = run.logit_scale * (means @ image.embeddings[0].astype(np.float64))
    shares = np.exp(logits - logits.max())
    return dict(zip(prompts, (shares / shares.sum()).tolist(), strict=True))
