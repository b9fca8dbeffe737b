"""Text that every encoder, file and terminal takes: whole characters, nothing else.

Names from file systems, and from JSON, may hold halves of characters. This module knows nothing
about where a text comes from.
"""

from __future__ import annotations

from cliptune.errors import CliptuneError, DataError

__all__ = ["require_text"]


def require_text(text: str, what: str, error: type[CliptuneError] = DataError) -> None:
    """Make sure that a text can be written down.

    Args:
        text: The text.
        what: What it is, for the message.
        error: What to raise.

    Raises:
        CliptuneError: Of the class given: it holds half a character, or bytes that are no UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        raise error(
            f"{what} {shown!r} is no text (half a character, or bytes that are no UTF-8); change it"
        ) from None
