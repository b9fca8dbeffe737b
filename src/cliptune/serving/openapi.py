"""Bodies and failures as OpenAPI describes them, where FastAPI cannot read them off the code.

It is data only.
"""

from __future__ import annotations

from typing import Any

from cliptune.serving.schemas import Failure, PredictOptions, PredictRequest

__all__ = ["FAILURES", "PREDICT_BODY"]

Json = dict[str, Any]  # Any: plain JSON values

_MEANINGS = {
    400: "The body cannot be read, or the question cannot be answered",
    401: "The token is missing or wrong",
    404: "There is no such run",
    408: "The body took too long",
    413: "The body, the images or one of them is too large",
    415: "A body of this type is not read",
    422: "The request or its only image is wrong",
    429: "The server is at its limit; Retry-After says when to try again",
    503: "No answer within the time",
}


def _failures(*codes: int) -> dict[int | str, Json]:
    return {code: {"model": Failure, "description": _MEANINGS[code]} for code in codes}


FAILURES: dict[int | str, dict[int | str, Json]] = {
    401: _failures(401),
    "run": _failures(401, 404),
    "predict": _failures(400, 401, 404, 408, 413, 415, 422, 429, 503),
    "systemone": _failures(400, 401, 404, 408, 413, 422, 429, 503),
}

_OPTIONS = {
    name: {key: value for key, value in schema.items() if key not in ("title", "default")}
    for name, schema in PredictOptions.model_json_schema()["properties"].items()
}
_REQUEST = PredictRequest.model_json_schema()
_IMAGE = _REQUEST.pop("$defs")["ImageInput"]
_REQUEST["properties"]["images"]["items"] = _IMAGE

PREDICT_BODY: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Image files, one or many.",
                        },
                        **_OPTIONS,
                    },
                }
            },
            "application/json": {"schema": _REQUEST},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
