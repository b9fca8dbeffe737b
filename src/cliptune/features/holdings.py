"""What a cache holds beside vectors: graphs of engines, sweeps, and sections of studies.

It knows where each lies and how large it is, and nothing of what is in it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cliptune.errors import RunError, UnavailableError
from cliptune.system.json_files import read_object

__all__ = ["ACTIVATIONS", "TRASH", "CacheEntry", "holding_is_busy", "list_holdings", "remove_entry"]

ACTIVATIONS = "activations"  # a folder of the cache; see ``finetuning.entry``
TRASH = ".pruned-"
_STRAY = (".tmp-", ".making-")  # names of what is being written
_STRAY_SECONDS = 24 * 3600.0
_DATABASE = ".sqlite3"
_WHOLE = {"remote": "copies of remote files", "trees": "listings of folders"}


@dataclass(frozen=True)
class CacheEntry:
    """One encoder's vectors of one kind, or one of the other things that are kept.

    Attributes:
        path: The folder or file.
        encoder: The name under which the encoder was first used; its key is the fingerprint.
            Empty where no single encoder owns it.
        fingerprint: Digest of the encoder's weights, or empty.
        precision: What it computed in, or empty.
        engine: What ran it; the formats of graphs.
        kind: ``pooled``, ``tokens``, ``trunk``, ``texts`` or ``texts-cut`` are vectors;
            ``graphs``, ``sweep``, ``section``, ``unfinished``, ``plans``, ``activations`` (what
            frozen blocks give), ``remote`` (copies of what was read over a network) and
            ``trees`` (listings of folders) are the rest.
        n_vectors: How many images or texts; 0 for the rest.
        n_bytes: Size of all its files.
        created: When it was first used.
        last_used: When it was last used, or written where no more is known.
        name: What it is called, for what is no encoder's.
    """

    path: Path
    encoder: str
    fingerprint: str
    precision: str
    engine: str
    kind: str
    n_vectors: int
    n_bytes: int
    created: datetime
    last_used: datetime
    name: str = ""


def list_holdings(cache_dir: Path) -> list[CacheEntry]:
    """List all but vectors, after removing what killed processes left a day ago or more."""
    studies = cache_dir / "studies"
    entries = [_graphs(path) for path in _folders(cache_dir / "engines") if path.name != "names"]
    sweeps = sorted((cache_dir / "sweeps").glob(f"*{_DATABASE}"))
    entries += [_entry(path, "sweep", name=path.stem) for path in sweeps]
    for path in _folders(studies / "sections"):
        names = [file.stem for file in path.glob("*.json")]
        entries.append(_entry(path, "section", name=", ".join(names)))
    entries += [
        _entry(path, "unfinished", name=path.name) for path in _folders(studies / "unfinished")
    ]
    if any((studies / "plans").glob("*.json")):
        entries.append(_entry(studies / "plans", "plans", name="plans of studies"))
    entries += [
        _entry(path, ACTIVATIONS, name=path.name[:16]) for path in _folders(cache_dir / ACTIVATIONS)
    ]
    for kind, name in _WHOLE.items():
        if any(_folders(cache_dir / kind)) or any((cache_dir / kind).glob("*")):
            entries.append(_entry(cache_dir / kind, kind, name=name))
    return entries


def holding_is_busy(entry: CacheEntry) -> bool:
    """Tell whether a process is at work on it."""
    if entry.kind == "graphs":
        return _is_held(entry.path / "making.lock")
    if entry.kind == "sweep":
        locks = Path(f"{entry.path}.locks")
        return any(_is_held(lock) for lock in sorted(locks.glob("*")) if lock.is_file())
    if entry.kind in ("unfinished", ACTIVATIONS):  # something is written every minute or so
        return time.time() - entry.last_used.timestamp() < 600
    return False


def remove_entry(path: Path) -> None:
    """Take a folder or file out of use in one step, then delete it.

    Raises:
        UnavailableError: It cannot be removed.
    """
    trash = path.with_name(f"{TRASH}{path.name}")
    try:
        _delete(trash)
        path.rename(trash)
    except OSError as error:
        raise UnavailableError(
            f"cannot remove {str(path)!r} from the cache ({error.strerror or error}); remove it "
            "by hand"
        ) from error
    _delete(trash)  # what stays goes with the next look at the cache
    if path.name.endswith(_DATABASE):
        for companion in ("-wal", "-shm", "-journal", ".locks"):
            _delete(Path(f"{path}{companion}"))


def _graphs(path: Path) -> CacheEntry:
    try:
        fingerprint = str(read_object(path / "facts.json").get("fingerprint", ""))
    except RunError:
        fingerprint = ""
    formats = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    engines = ", ".join(name for name in formats if not name.startswith("."))
    return _entry(path, "graphs", fingerprint=fingerprint, engine=engines, name=path.name[:16])


def _entry(
    path: Path, kind: str, *, name: str, fingerprint: str = "", engine: str = ""
) -> CacheEntry:
    stats = []
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with suppress(OSError):
            if file.is_file():
                stats.append(file.stat())
    times = [stat.st_mtime for stat in stats] or [0.0]
    return CacheEntry(
        path=path,
        encoder="",
        fingerprint=fingerprint,
        precision="",
        engine=engine,
        kind=kind,
        n_vectors=0,
        n_bytes=sum(stat.st_size for stat in stats),
        created=datetime.fromtimestamp(min(times), UTC),
        last_used=datetime.fromtimestamp(max(times), UTC),
        name=name,
    )


def _folders(place: Path) -> Iterator[Path]:
    """Give the folders of a place; delete what a pruning or a writer that was killed left."""
    for path in sorted(place.glob("*")):
        if path.name.startswith(TRASH):
            _delete(path)
        elif path.is_dir() and not path.name.startswith("."):
            for prefix in _STRAY:
                _delete_old(path.glob(f"{prefix}*"))
            yield path
    for prefix in _STRAY:
        _delete_old(place.glob(f"{prefix}*"))


def _delete_old(paths: Iterator[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STRAY_SECONDS:
                _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def _is_held(path: Path) -> bool:
    from filelock import FileLock, Timeout

    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False
