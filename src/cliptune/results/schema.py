"""JSON Schemas of results: made from the dataclasses, so that they cannot differ from them.

It knows types, and no result.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from cliptune.results.base import Result

__all__ = ["json_schema"]

Json = dict[str, Any]  # Any: plain JSON values

_PLAIN: Mapping[Any, Json] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: type[Result]) -> Json:
    """Return the schema of what ``to_json`` writes and the command line prints."""
    parts: dict[str, Json] = {}
    schema = _record(kind, parts)
    schema["properties"] = {
        "result_version": {"const": kind.version, "description": "absent means 1"},
        **schema["properties"],
    }
    return {"$schema": _DIALECT, "title": kind.__name__, **schema, "$defs": parts}


def _of(hint: Any, parts: dict[str, Json]) -> Json:  # Any: a type, or typing's forms
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_of(one, parts) for one in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return _tuple(arguments, parts)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], parts)}
    if hasattr(hint, "from_dict") or not is_dataclass(hint):
        return {"type": "object"}  # it writes and reads itself
    name: str = hint.__name__  # type: ignore[union-attr]  # it is a class
    if name not in parts:
        parts[name] = {}
        parts[name] = _record(hint, parts)
    return {"$ref": f"#/$defs/{name}"}


def _tuple(arguments: tuple[Any, ...], parts: dict[str, Json]) -> Json:  # Any: types
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _of(arguments[0], parts)}
    items = [_of(one, parts) for one in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _record(kind: Any, parts: dict[str, Json]) -> Json:  # Any: a dataclass
    hints = typing.get_type_hints(kind)
    properties: Json = {}
    required: list[str] = []
    is_open = False
    for one in fields(kind):
        if one.metadata.get("transient"):
            continue
        if one.metadata.get("flat"):
            is_open |= _add_flat(hints[one.name], properties, required, parts)
            continue
        properties[one.name] = _of(hints[one.name], parts)
        if one.default is MISSING and one.default_factory is MISSING:
            required.append(one.name)
    schema: Json = {"type": "object", "properties": properties, "required": required}
    return schema if is_open else {**schema, "additionalProperties": False}


def _add_flat(hint: Any, properties: Json, required: list[str], parts: dict[str, Json]) -> bool:
    """Put a record's keys among those of another; say whether more keys may come."""
    kinds = [one for one in typing.get_args(hint) if one is not type(None)]
    kind = kinds[0] if kinds else hint
    if hasattr(kind, "from_dict"):
        return True
    inner = _record(kind, parts)
    properties |= inner["properties"]
    required += [] if kinds else inner["required"]
    return False
