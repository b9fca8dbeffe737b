"""The part of the campaign in which no room is left: a small disk, or a bound on every file."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from campaign_tools import Outcome, Tally, Workplace

__all__ = ["run"]

_DISK = 96 << 10  # bytes; the pictures' vectors, a table or a page are more
_FILE = 8 << 10


def run(work: Workplace, tally: Tally) -> None:
    """Run commands whose cache, or whose results, find no room."""
    base = ["--model", work.model, "--engine", "torch"]
    commands: dict[str, Sequence[object]] = {
        "evaluate": ["evaluate", work.data, *base],
        "embed": ["embed", work.data, *base],
        "fit": ["fit", work.data, "--method", "linear", *base],
        "map": ["map", work.data, *base],
        "sweep": ["sweep", work.data, "--method", "linear", *base],
    }
    for name, words in commands.items():
        for what in ("out", "cache"):
            with _small_disk(work) as disk:
                tally.add("full disk", f"{name}: {what}", _try_one(work, words, what, disk))


def _try_one(work: Workplace, words: Sequence[object], what: str, disk: Path | None) -> str:
    """Point results or cache at a full place; without a disk of our own, bound every file."""
    out, cache = work.new("out"), work.new("cache")
    limit: Callable[[], None] | None = None
    if disk is None:
        limit = _bound_files
    elif what == "out":
        out = disk / "out"
    else:
        cache = disk / "cache"
    outcome = work.apart([*words, "--out", out, "--cache-dir", cache], limit=limit)
    return _fault(outcome, out)


def _fault(outcome: Outcome, out: Path) -> str:
    """It goes on without a cache, or ends in one line; nothing that looks finished is left."""
    if outcome.code not in (0, 2) or "Traceback" in outcome.err:
        return f"exit code {outcome.code}: {outcome.err[-500:]}"
    if outcome.code == 2 and not outcome.last_line.startswith("cliptune: "):
        return f"no clear last line: {outcome.last_line}"
    if outcome.code == 2 and (out / "manifest.json").exists():
        return "a run that failed looks finished"
    left = [path.name for path in out.rglob(".tmp-*")] if out.exists() else []
    return f"left behind: {left[:3]}" if left else ""


@contextmanager
def _small_disk(work: Workplace) -> Iterator[Path | None]:
    """Give a disk of a few kilobytes, where this user may have one."""
    disk = work.new("disk")
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none", str(disk)]
    mounted = False
    with suppress(OSError):
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=False, capture_output=True)


def _bound_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
