"""Whether values that came from a file have the types that a dataclass says.

It knows types, and nothing about what the values mean.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["require_types"]


def require_types(value: object, hint: Any, where: str) -> None:  # Any: a type, or typing's forms
    """Make sure that a value, with all that is in it, is of a type.

    Args:
        value: A dataclass that was filled from a file, or a part of one.
        hint: ``str``, ``int``, ``float`` (whole numbers count, NaN and infinity do not), ``bool``,
            ``None``, ``Any``, a dataclass, a ``Literal``, a union, a tuple, a list or a mapping.
        where: What the value is called in the message.

    Raises:
        TypeError: It is not; the message says where.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return
    if origin in (typing.Union, types.UnionType):
        if not any(_fits(value, kind, where) for kind in arguments):
            _refuse(value, hint, where)
    elif origin is typing.Literal:
        if not isinstance(value, str | int) or value not in arguments:
            _refuse(value, hint, where)
    elif origin in (tuple, list):
        _require_items(value, origin, arguments, where)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        _require_mapping(value, arguments, where)
    elif is_dataclass(hint):
        _require_fields(value, hint, where)
    elif not _is_plain(value, hint):
        _refuse(value, hint, where)


def _fits(value: object, hint: Any, where: str) -> bool:
    try:
        require_types(value, hint, where)
    except TypeError:
        return False
    return True


def _is_plain(value: object, hint: Any) -> bool:
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)  # type: ignore[arg-type]  # narrowed above
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _require_items(value: object, kind: type, hints: tuple[Any, ...], where: str) -> None:
    if not isinstance(value, kind):
        _refuse(value, kind, where)
    items: list[object] = list(value)  # type: ignore[call-overload]  # narrowed above
    endless = kind is list or (len(hints) == 2 and hints[1] is Ellipsis)
    if not endless and len(items) != len(hints):
        raise TypeError(f"{where} has {len(items)} entries; expected {len(hints)}")
    for place, item in enumerate(items):
        require_types(item, hints[0] if endless else hints[place], f"{where}[{place}]")


def _require_mapping(value: object, hints: tuple[Any, ...], where: str) -> None:
    if not isinstance(value, Mapping):
        _refuse(value, dict, where)
    for key, item in value.items():
        require_types(key, hints[0], f"a key of {where}")
        require_types(item, hints[1], f"{where}[{key!r:.40}]")


def _require_fields(value: object, hint: Any, where: str) -> None:
    if not isinstance(value, hint):
        _refuse(value, hint, where)
    hints = typing.get_type_hints(hint)
    for field in fields(hint):
        require_types(getattr(value, field.name), hints[field.name], f"{where}.{field.name}")


def _refuse(value: object, hint: Any, where: str) -> typing.NoReturn:
    name = getattr(hint, "__name__", None) if typing.get_origin(hint) is None else str(hint)
    raise TypeError(f"{where} is {value!r:.60}; expected {name or hint}")
