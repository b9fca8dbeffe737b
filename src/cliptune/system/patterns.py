"""Regular expressions that users give.

It knows no option; whoever has one names it.
"""

from __future__ import annotations

import re

from cliptune.errors import InputError

__all__ = ["compile_pattern"]


def compile_pattern(option: str, pattern: str, *, example: str) -> re.Pattern[str]:
    """Return a regular expression, ready to search with.

    Args:
        option: What gave it, for the message.
        pattern: The expression.
        example: A right one, for the message.

    Raises:
        InputError: It is none.
    """
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        shown = pattern if len(pattern) <= 100 else f"{pattern[:100]}..."
        raise InputError(
            f"{option} {shown!r} is no regular expression ({error}); write for example {example}"
        ) from error
