"""From a request's body to images, in memory: multipart, JSON with base64, or the file itself.

It knows HTTP and limits, and decodes no image. Nothing is written to disk.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from cliptune.serving.schemas import PredictOptions, PredictRequest

__all__ = ["Intake", "Item", "Limits", "decode_base64", "read_body", "read_predict"]

_FIELD = "files"
_DRAINED = 4  # times the limit is read to its end and dropped: some clients hear nothing before
_OPTION_BYTES = 4096  # of a field of a form that is no file


@dataclass(frozen=True)
class Limits:
    """What a request may hold.

    Attributes:
        items: Images.
        bytes: Of the whole body.
        seconds: Until it has arrived.
    """

    items: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Item:
    """One image that came.

    Attributes:
        name: What the client calls it, or nothing.
        data: Its bytes; empty where ``problem`` says why.
        problem: What is wrong with how it came.
    """

    name: str | None
    data: bytes
    problem: str = ""


@dataclass(frozen=True)
class Intake:
    """What was asked.

    Attributes:
        items: At least one.
        options: How to answer.
    """

    items: tuple[Item, ...]
    options: PredictOptions


async def read_predict(request: Request, limits: Limits) -> Intake:
    """Read a request to classify images.

    Raises:
        HTTPException: 400, 408, 413, 415 or 422; the detail is one sentence.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        items, given = await _read_form(request, limits)
    elif kind == "application/json":
        items, given = _read_json(await read_body(request, limits))
    elif kind.startswith("image/") or kind in ("application/octet-stream", ""):
        items, given = [Item(None, await read_body(request, limits))], {}
    else:
        raise HTTPException(
            415,
            f"a body of type {kind[:80]!r} came; send multipart/form-data with the field "
            f"{_FIELD!r}, application/json, or an image",
        )
    if not items:
        raise HTTPException(422, f"no image came; send at least one in {_FIELD!r}")
    if len(items) > limits.items:
        raise HTTPException(413, f"{len(items)} images came; at most {limits.items} at once")
    return Intake(tuple(items), _options({**dict(request.query_params), **given}))


def _options(given: dict[str, Any]) -> PredictOptions:  # Any: texts, or plain JSON values
    try:
        return PredictOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HTTPException(422, f"{where}: {first['msg']}") from error


async def read_body(request: Request, limits: Limits) -> bytes:
    """Read a whole body within its limits.

    Raises:
        HTTPException: 408 or 413, or 400 where the client left.
    """
    too_large = HTTPException(413, f"the body has more than {limits.bytes} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > _DRAINED * limits.bytes:
        raise too_large
    size, kept = 0, []
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > _DRAINED * limits.bytes:
                    break
                if size <= limits.bytes:
                    kept.append(chunk)
    except TimeoutError as error:
        raise HTTPException(
            408, f"the body took more than {limits.seconds:g} seconds", {"Connection": "close"}
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the body ended before its end") from error
    if size > limits.bytes:
        raise too_large
    return b"".join(kept)


async def _at_once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


class _InMemory(MultiPartParser):
    """Starlette's parser, which would otherwise put files of a megabyte on disk."""

    spool_max_size = 1 << 62


async def _read_form(
    request: Request, limits: Limits
) -> tuple[list[Item], dict[str, Any]]:  # Any: texts
    parser = _InMemory(
        request.headers,
        _at_once(await read_body(request, limits)),
        max_files=limits.items,
        max_fields=len(PredictOptions.model_fields),
        max_part_size=_OPTION_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise HTTPException(413, f"more than {limits.items} images came at once") from error
        raise HTTPException(400, f"the form cannot be read: {error.message}") from error
    try:
        return await _sort_fields(form)
    finally:
        await form.close()


async def _sort_fields(form: FormData) -> tuple[list[Item], dict[str, Any]]:  # Any: texts
    items, given = [], {}
    for field, value in form.multi_items():
        if isinstance(value, UploadFile):
            if field != _FIELD:
                raise HTTPException(422, f"a file came as {field[:80]!r}; send it as {_FIELD!r}")
            items.append(Item(value.filename or None, await value.read()))
        elif field == _FIELD:
            raise HTTPException(422, f"{_FIELD!r} came without a filename; send it as a file")
        else:
            given[field] = value
    return items, given


def _read_json(body: bytes) -> tuple[list[Item], dict[str, Any]]:  # Any: plain JSON values
    try:  # a number is no flag there, nor a text a number, as the document says
        asked = PredictRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise HTTPException(400, "the body is no JSON") from error
        where = ".".join(map(str, first["loc"])) or "the body"
        raise HTTPException(422, f"{where}: {first['msg']}") from error
    items = [decode_base64(one.name, one.data_base64) for one in asked.images]
    return items, asked.model_dump(exclude={"images"}, exclude_none=True)


def decode_base64(name: str | None, text: str) -> Item:
    """Return an item out of base64; what is wrong with it is said there."""
    try:
        return Item(name, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return Item(name, b"", "data_base64 is no base64")
