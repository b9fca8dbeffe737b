"""Whether the data set changed underneath an open page.

It knows files and their states, and nothing about pages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cliptune.errors import CliptuneError
from cliptune.images import ImageTable
from cliptune.images.sources import FileSource
from cliptune.system.file_state import FileState

__all__ = ["ChangeWatch"]

_SECONDS_BETWEEN = 10.0


class ChangeWatch:
    """Looks now and then whether files came, went or changed.

    Args:
        table: The images as they were opened.
        list_again: Lists the data set again.
    """

    def __init__(self, table: ImageTable, list_again: Callable[[], ImageTable]) -> None:
        self._table, self._list_again = table, list_again
        self._states = _states(table)
        self._looked = time.monotonic()
        self._found = ""
        self._busy = threading.Lock()

    def sentence(self) -> str:
        """Say what changed; nothing where all is as it was. It looks again in the background."""
        late = time.monotonic() - self._looked > _SECONDS_BETWEEN
        if late and self._busy.acquire(blocking=False):
            threading.Thread(target=self._look_and_release, daemon=True).start()
        return self._found

    def look(self) -> str:
        """Look now."""
        try:
            now = {source.id for source in self._list_again().sources}
        except CliptuneError as error:
            return f"the data cannot be read any more: {error}"
        before = set(self._states)
        states = _states(self._table)
        changed = sum(
            states.get(name) != state for name, state in self._states.items() if name in now
        )
        parts = [
            f"{n} {word}"
            for n, word in (
                (len(now - before), "images came"),
                (len(before - now), "images went"),
                (changed, "images changed"),
            )
            if n
        ]
        if not parts:
            return ""
        return (
            f"the data changed underneath: {', '.join(parts)}; labels stay with the content that "
            "they were given to. Open the data again to take this in"
        )

    def _look_and_release(self) -> None:
        try:
            self._found = self.look()
        finally:
            self._looked = time.monotonic()
            self._busy.release()


def _states(table: ImageTable) -> dict[str, FileState | None]:
    return {source.id: _state(source) for source in table.sources}


def _state(source: object) -> FileState | None:
    if not isinstance(source, FileSource):
        return None
    try:
        return FileState.of(source.path)
    except OSError:
        return None
