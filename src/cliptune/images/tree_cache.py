"""What the folders of large trees held when they were listed last, by their times.

It knows names and times, and nothing about what they mean. A folder's time changes with every file
that is added, renamed or removed; what is in files is not looked at here.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cliptune.errors import UnavailableError
from cliptune.system.atomic import atomic_path
from cliptune.system.paths import cache_dir

__all__ = ["KnownFolder", "load_known", "save_known"]

_VERSION = 2
_LARGE = 5_000  # files; smaller trees are listed at once
_SETTLED_NS = 2_000_000_000  # a folder that changed just now may change again within its time


@dataclass(frozen=True)
class KnownFolder:
    """A folder without links: its time, the names in it, and how many are hidden."""

    mtime_ns: int
    n_hidden: int
    images: list[str]
    files: list[str]
    folders: list[str]

    def is_current(self, path: str) -> bool:
        """Tell whether the folder is as it was."""
        return Path(path).stat().st_mtime_ns == self.mtime_ns


def load_known(root: str) -> dict[str, KnownFolder]:
    """Return what is known of the folders below a root, by their paths relative to it."""
    try:
        value = json.loads(_place(root).read_text(encoding="utf-8"))
        if value["version"] != _VERSION or value["root"] != root:
            return {}
        return {path: KnownFolder(*facts) for path, facts in value["folders"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def save_known(root: str, folders: Mapping[str, KnownFolder]) -> None:
    """Keep what folders hold, where there are many files; without a cache nothing is kept."""
    if sum(len(folder.images) + len(folder.files) for folder in folders.values()) < _LARGE:
        return
    settled = time.time_ns() - _SETTLED_NS
    kept = {
        path: [f.mtime_ns, f.n_hidden, f.images, f.files, f.folders]
        for path, f in folders.items()
        if f.mtime_ns < settled
    }
    with suppress(UnavailableError), atomic_path(_place(root)) as temporary:
        text = json.dumps({"version": _VERSION, "root": root, "folders": kept})
        temporary.write_text(text, encoding="utf-8")


def _place(root: str) -> Path:
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return cache_dir() / "trees" / f"{digest}.json"
