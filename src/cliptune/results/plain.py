"""Typed records as plain JSON values, and back.

A record is a frozen dataclass whose fields are the keys of a JSON object. It knows no record;
what each key means stands in its dataclass.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np

__all__ = [
    "ABSENT",
    "FLAT",
    "TRANSIENT",
    "from_plain",
    "keys_of",
    "record_from_plain",
    "record_to_plain",
    "to_plain",
]

Json = dict[str, Any]  # Any: plain JSON values

# Metadata of a field: its key may not be there, and None stands for that; its keys stand among
# those of the record that holds it; it lasts as long as the process and is not written down.
ABSENT: Mapping[str, bool] = {"absent": True}
FLAT: Mapping[str, bool] = {"flat": True}
TRANSIENT: Mapping[str, bool] = {"transient": True}
_ABSENT, _FLAT, _TRANSIENT = "absent", "flat", "transient"


def to_plain(value: object) -> Any:  # Any: plain JSON values
    """Return a value with all that is in it as plain JSON values."""
    if hasattr(value, "to_dict") and not hasattr(value, "to_json"):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return record_to_plain(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def record_to_plain(record: Any) -> Json:  # Any: a dataclass
    """Return the fields of a dataclass as plain JSON values."""
    found: Json = {}
    for one in fields(record):
        value = getattr(record, one.name)
        if one.metadata.get(_TRANSIENT) or (value is None and one.metadata.get(_ABSENT)):
            continue
        if one.metadata.get(_FLAT):
            found |= {} if value is None else to_plain(value)
        else:
            found[one.name] = to_plain(value)
    return found


def from_plain(hint: Any, value: Any, where: str) -> Any:  # Any: a type, JSON in, a record out
    """Make a value of a type from plain JSON values.

    Args:
        hint: A dataclass, a tuple, a mapping, a union, a ``Literal`` or a plain type.
        value: As ``to_plain`` gave it.
        where: What the value is called in the message.

    Raises:
        TypeError: It has another type, or lacks a key or has one too many.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, where)
    if origin is typing.Literal:
        return _require(value in arguments, value, hint, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _require(isinstance(value, Mapping), value, "an object", where)
        return {k: from_plain(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(hint, type) and hasattr(hint, "from_dict") and not hasattr(hint, "from_json"):
        return _own_reading(hint, value, where)
    if is_dataclass(hint):
        _require(isinstance(value, Mapping), value, "an object", where)
        return record_from_plain(hint, value, where)
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:  # Any: as from_plain
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return _require(is_number, value, "a number", where)
    if hint is int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return _require(is_whole, value, "a whole number", where)
    if hint in (None, type(None)):
        return _require(value is None, value, "null", where)
    return _require(isinstance(value, hint), value, hint.__name__, where)


def _own_reading(hint: Any, value: Any, where: str) -> Any:  # Any: as from_plain
    try:
        return hint.from_dict(value)
    except KeyError as error:
        raise TypeError(f"{where} lacks {error}") from error
    except (AttributeError, ValueError) as error:
        raise TypeError(f"{where} is broken: {error}") from error


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:  # Any: as from_plain
    if value is None and type(None) in kinds:
        return None
    wanted = [kind for kind in kinds if kind is not type(None)]
    for kind in wanted[:-1]:
        try:
            return from_plain(kind, value, where)
        except TypeError:
            continue
    return from_plain(wanted[-1], value, where)


def _tuple(hints: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:  # Any: the same
    _require(isinstance(value, list | tuple), value, "a list", where)
    endless = len(hints) == 2 and hints[1] is Ellipsis
    if not endless and len(value) != len(hints):
        raise TypeError(f"{where} has {len(value)} entries; expected {len(hints)}")
    kinds = [hints[0]] * len(value) if endless else hints
    return tuple(
        from_plain(kind, entry, f"{where}[{place}]")
        for place, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )


@dataclass(frozen=True)
class _Entry:
    """A field of a record, its type, and the keys that it reads."""

    field: Field[Any]
    hint: Any  # Any: a type, or typing's forms
    keys: frozenset[str]


@cache
def _entries(kind: type) -> tuple[_Entry, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(
        _Entry(
            one,
            hints[one.name],
            keys_of(_kind_of(hints[one.name]))
            if one.metadata.get(_FLAT)
            else frozenset({one.name}),
        )
        for one in fields(kind)
        if not one.metadata.get(_TRANSIENT)
    )


def _kind_of(hint: Any) -> Any:  # Any: a record, or a record or None
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return kinds[0] if kinds else hint


def keys_of(kind: type) -> frozenset[str]:
    """Return the keys that a record is read from."""
    own: Callable[[], frozenset[str]] | None = getattr(kind, "plain_keys", None)
    if own is not None:
        return own()
    return frozenset().union(*(entry.keys for entry in _entries(kind)))


def record_from_plain(kind: Any, value: Mapping[str, Any], where: str) -> Any:  # Any: a dataclass
    """Make a dataclass of plain JSON values; see ``from_plain``."""
    if extra := sorted(set(value) - keys_of(kind)):
        raise TypeError(f"{where} has an unknown key {extra[0]!r:.60}")
    made: Json = {}
    for entry in _entries(kind):
        name = entry.field.name
        if entry.field.metadata.get(_FLAT):
            part = {key: value[key] for key in entry.keys if key in value}
            is_there = bool(part) or entry.hint is _kind_of(entry.hint)
            made[name] = from_plain(_kind_of(entry.hint), part, where) if is_there else None
        elif name in value:
            made[name] = from_plain(entry.hint, value[name], f"{where}.{name}")
        elif entry.field.default is MISSING and entry.field.default_factory is MISSING:
            raise TypeError(f"{where} lacks {name!r}")
    return kind(**made)


def _require(holds: bool, value: Any, expected: object, where: str) -> Any:  # Any: plain JSON
    if not holds:
        name = getattr(expected, "__name__", expected)
        raise TypeError(f"{where} is {value!r:.60}; expected {name}")
    return value
