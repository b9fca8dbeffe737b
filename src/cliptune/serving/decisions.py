"""Typed questions about an image, and answers out of probabilities.

The wire is that of ``transformers serve`` 5.24, ``/v1/systemone``. It knows the wire, and neither
HTTP nor models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

__all__ = [
    "Choice",
    "Noul",
    "Question",
    "Score",
    "SystemOneAnswer",
    "SystemOneRequest",
    "answer_choice",
    "describe",
    "read_questions",
    "seen_images",
]

Content = str | dict[str, Any] | list[Any]  # Any: plain JSON values
_STRICT = ConfigDict(extra="forbid", strict=True)
_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAGElEQVR4nGNkYPjPgA0wYRUdlMIsWIUBAHqiARFw2"
    "bCzAAAAAElFTkSuQmCC"
)
_EXAMPLE: dict[str, Any] = {
    "model": "my-run",
    "state": {"photo": "img-1"},
    "questions": {
        "insect": {
            "type": "choice",
            "instructions": "What is on img-1?",
            "criteria": {"ant": None, "bee": None},
        }
    },
    "assets": {"img-1": {"type": "image", "format": "png", "data_base64": _PICTURE}},
}


class Noul(BaseModel):
    """Is it true?"""

    model_config = _STRICT

    type: Literal["noul"]
    instructions: Content | None = None
    criteria: dict[Literal["true", "false"], Content | None] | None = None


class Choice(BaseModel):
    """Which option fits?"""

    model_config = _STRICT

    type: Literal["choice"]
    instructions: Content | None = None
    criteria: dict[str, Content | None] = Field(min_length=1)


class Score(BaseModel):
    """Which level, lowest first?"""

    model_config = _STRICT

    type: Literal["score"]
    instructions: Content | None = None
    criteria: list[Content] = Field(min_length=1)


Question = Noul | Choice | Score
_QUESTION: TypeAdapter[Question] = TypeAdapter(
    Annotated[Noul | Choice | Score, Field(discriminator="type")]
)


class SystemOneRequest(BaseModel):
    """Questions about a state and the images that it names."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [_EXAMPLE]}
    )

    model: str = Field(description="The name of a run.")
    state: str | dict[str, Any] | list[Any]
    questions: dict[str, dict[str, Any]] = Field(min_length=1, max_length=64)
    assets: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=4)


class SystemOneAnswer(BaseModel):
    """One answer a question, by its name."""

    model: str
    answers: dict[str, dict[str, Any]]
    usage: dict[str, int]


def read_questions(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Question]:
    """Read all questions.

    Raises:
        ValueError: Some are wrong; the message has one line for each of them.
    """
    read, wrong = {}, []
    for name, question in given.items():
        try:
            read[name] = _QUESTION.validate_python(question)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            wrong.append(f"Question {name!r}: {where or 'it'}: {first['msg']}")
    if wrong:
        raise ValueError("\n".join(wrong))
    return read


def seen_images(state: object, question: Question, assets: Sequence[str]) -> tuple[str, ...]:
    """Return the placeholders that a question sees: those in its own strings or in the state's."""
    if not assets:
        return ()
    names = sorted(assets, key=len, reverse=True)  # of two that begin alike, the longer one
    pattern = re.compile("|".join(map(re.escape, names)))
    texts = _strings([state, question.instructions, question.criteria])
    found = (match[0] for text in texts for match in pattern.finditer(text))
    return tuple(dict.fromkeys(name for name in found if name))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry)


def describe(content: Content | None, assets: Sequence[str]) -> str:
    """Return a description as one text, without placeholders; empty where there is none."""
    if content is None:
        return ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    for name in sorted(assets, key=len, reverse=True):
        text = text.replace(name, " ")
    return " ".join(text.split())


def answer_choice(probabilities: Mapping[str, float]) -> dict[str, Any]:  # Any: plain JSON values
    """Return the answer to a choice; its confidence is 0 where all options are alike."""
    best, n = max(probabilities, key=lambda option: probabilities[option]), len(probabilities)
    above = (probabilities[best] - 1 / n) / (1 - 1 / n) if n > 1 else 1.0
    return {
        "type": "choice",
        "choice": best,
        "confidence": max(0.0, above),
        "probabilities": dict(probabilities),
    }
