"""Where cliptune looks for data and keeps what it can make again.

It knows two environment variables and nothing about what lies in the folders.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_dir", "data_dir"]


def cache_dir() -> Path:
    """Return the folder for things that can be fetched or computed again.

    It is ``$CLIPTUNE_CACHE``, else ``$XDG_CACHE_HOME/cliptune``, else ``~/.cache/cliptune``;
    it need not exist.
    """
    own = os.environ.get("CLIPTUNE_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "cliptune"


def data_dir() -> Path | None:
    """Return the user's own folder of data sets, ``$CLIPTUNE_DATA``, when it is set."""
    own = os.environ.get("CLIPTUNE_DATA")
    return Path(own).expanduser() if own else None
