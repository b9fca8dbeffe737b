"""JSON files that somebody else may have written: one object each, or one clear refusal.

It knows nothing about what is in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from cliptune.errors import CliptuneError, RunError
from cliptune.system.file_kinds import read_regular

__all__ = ["parse_object", "parse_value", "read_object"]


def read_object(
    path: Path, error: type[CliptuneError] = RunError
) -> dict[str, Any]:  # Any: plain JSON values
    """Read one JSON object.

    Args:
        path: The file.
        error: What to raise.

    Raises:
        CliptuneError: Of the class given: the file is missing, no text, no JSON, nested beyond
            reason, or holds something else than one object.
    """
    try:
        text = read_regular(path).decode("utf-8")
    except (OSError, ValueError) as reason:
        why = getattr(reason, "strerror", None) or "it is no text in UTF-8"
        raise error(f"cannot read {str(path)!r} ({why})") from reason
    return parse_object(text, str(path), error)


def parse_object(
    text: str, source: str, error: type[CliptuneError] = RunError
) -> dict[str, Any]:  # Any: plain JSON values
    """Read one JSON object from a text; NaN and infinity are no JSON.

    Args:
        text: The JSON.
        source: Where it stands, for the message.
        error: What to raise.

    Raises:
        CliptuneError: As for ``read_object``.
    """
    try:
        value = parse_value(text, parse_constant=_refuse)
    except ValueError as reason:
        raise error(f"cannot read {source!r} ({reason}); restore the file") from reason
    if not isinstance(value, dict):
        raise error(f"{source!r} holds no JSON object but {type(value).__name__}")
    return value


def parse_value(
    text: str | bytes, *, parse_constant: Callable[[str], Any] | None = None
) -> Any:  # Any: plain JSON values
    """Read one JSON value of any kind.

    Raises:
        ValueError: It is no JSON, holds an integer of thousands of digits, or is nested beyond
            reason.
    """
    try:
        return json.loads(text, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
