"""Numbers as command lines give them: whole ones are whole, and all are finite.

It knows no option; each names its own bounds beside its type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import Parameter, Token

from cliptune.errors import CliptuneError, InputError
from cliptune.system.bounds import MAX_WHOLE, require_count, require_number

__all__ = ["number", "size_in_bytes", "whole"]

_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?(kB|MB|GB|TB)", re.ASCII | re.IGNORECASE)
_UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)


def whole(at_least: int | None = None, at_most: int = MAX_WHOLE) -> Parameter:
    """Return how an option of whole numbers is read; ``1.5`` is none, and neither is ``1e3``.

    Args:
        at_least: The smallest; without it the library says what is allowed.
        at_most: The largest.
    """

    def read(option: str, text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise InputError(f"{option} {_clipped(text)!r} came; expected a whole number")
        value = int(text)
        if at_least is not None:
            require_count(option, value, at_least=at_least, at_most=at_most)
        return value

    return Parameter(converter=_converter(read))


def size_in_bytes() -> Parameter:
    """Return how an option of sizes is read: ``20GB``, ``500 MB``; as whole bytes."""

    def read(option: str, text: str) -> int:
        found = _SIZE.fullmatch(text.strip())
        if found is None:
            raise InputError(
                f"{option} {_clipped(text)!r} came; expected a size with its unit, such as 20GB"
            )
        return int(float(found.group(1)) * _UNITS[found.group(2).lower()])

    return Parameter(converter=_converter(read))


def number(
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> Parameter:
    """Return how an option of numbers is read; not-a-number and infinity are refused."""

    def read(option: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"{option} {_clipped(text)!r} came; expected a number") from None
        require_number(option, value, at_least=at_least, above=above, at_most=at_most, below=below)
        return value

    return Parameter(converter=_converter(read))


def _converter(
    read: Callable[[str, str], float],
) -> Callable[[Any, Sequence[Token]], float]:  # Any: the annotated type, which is not needed
    def convert(_: Any, tokens: Sequence[Token]) -> float:
        option, text = tokens[0].keyword or "the number", tokens[0].value
        try:
            return read(option, text.strip())
        except InputError as error:
            # The parser would wrap a ValueError in a sentence of its own.
            raise CliptuneError(str(error)) from None

    return convert


def _clipped(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
