"""Log messages of all libraries as single lines on standard error."""

from __future__ import annotations

import logging
import sys

from cliptune.system.escaping import for_terminal
from cliptune.system.redaction import hide_passwords

__all__ = ["log_to_stderr"]


def log_to_stderr() -> None:
    """Show warnings and what is worse."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("cliptune: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _PlainFormatter(logging.Formatter):
    """Messages name files and classes, which must not command the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return hide_passwords(for_terminal(super().format(record), layout=True))
