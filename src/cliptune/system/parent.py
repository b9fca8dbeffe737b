"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["end_with_parent"]

_SECONDS_TO_LOOK = 1.0


def end_with_parent(parent: int) -> None:
    """End this process within a second or so after its parent, whose number is given, is gone."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_TO_LOOK)
    os._exit(1)
