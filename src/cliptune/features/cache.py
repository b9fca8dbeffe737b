"""What the cache holds: list it, verify it, prune it.

It knows nothing about images or encoders beyond what the folders say of themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cliptune.errors import CheckpointError, InputError, RunError
from cliptune.features.digests import MEMO_NAME
from cliptune.features.folder import ShardFolder, is_busy, quarantine, shard_files
from cliptune.features.holdings import (
    TRASH,
    CacheEntry,
    holding_is_busy,
    list_holdings,
    remove_entry,
)
from cliptune.features.shards import open_shard, shard_is_intact
from cliptune.system.json_files import read_object

__all__ = [
    "CacheCheck",
    "CacheEntry",
    "DamagedShard",
    "Pruned",
    "list_cache",
    "prune_cache",
    "verify_cache",
]


@dataclass(frozen=True)
class DamagedShard:
    """A file that is not what was written.

    Attributes:
        path: Where it lies now, out of the way.
        problem: What is wrong with it.
    """

    path: Path
    problem: str


@dataclass(frozen=True)
class CacheCheck:
    """What a verification found.

    Attributes:
        n_shards: Whole files.
        n_vectors: Vectors in them.
        n_bytes: Their size.
        damaged: The others; their vectors are computed again when they are asked for.
    """

    n_shards: int
    n_vectors: int
    n_bytes: int
    damaged: tuple[DamagedShard, ...]


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Attributes:
        removed: Entries that are gone.
        busy: Entries that should have gone, but a process is adding to them.
    """

    removed: tuple[CacheEntry, ...]
    busy: tuple[CacheEntry, ...]


def list_cache(cache_dir: str | Path) -> list[CacheEntry]:
    """Return what a cache holds, last used first; nothing where there is no cache.

    Vectors, graphs of engines, sweeps, and sections of studies; data sets that were fetched are
    not part of it.
    """
    entries = [_entry(path) for path in _folders(Path(cache_dir))]
    names = {entry.fingerprint: entry.encoder for entry in entries}
    entries += [
        replace(entry, encoder=names.get(entry.fingerprint, "")) if entry.fingerprint else entry
        for entry in list_holdings(Path(cache_dir))
    ]
    return sorted(entries, key=lambda entry: entry.last_used, reverse=True)


def verify_cache(cache_dir: str | Path) -> CacheCheck:
    """Read every shard and compare it with its checksum; put damaged ones into quarantine.

    Raises:
        UnavailableError: The cache cannot be read or written to.
    """
    n_shards = n_vectors = n_bytes = 0
    damaged = []
    for path in _folders(Path(cache_dir)):
        with ShardFolder(path).locked():
            for file in shard_files(path):
                try:
                    n_vectors += _verified_length(file)
                except CheckpointError as error:
                    damaged.append(DamagedShard(quarantine(file), str(error)))
                    continue
                n_shards += 1
                n_bytes += file.stat().st_size
    return CacheCheck(n_shards, n_vectors, n_bytes, tuple(damaged))


def prune_cache(
    cache_dir: str | Path,
    *,
    encoder: str | None = None,
    max_age_days: float | None = None,
    max_bytes: int | None = None,
) -> Pruned:
    """Remove entries: those unused for longest first; with the last one goes all the rest.

    Args:
        cache_dir: The cache.
        encoder: Look only at entries of this encoder's name or of a fingerprint that starts
            so; alone, it removes them all.
        max_age_days: Remove what was last used longer ago.
        max_bytes: Then remove until no more than this is left.

    Raises:
        InputError: Neither an encoder nor a limit is given, or a limit is negative.
        UnavailableError: An entry cannot be removed.
    """
    if encoder is None and max_age_days is None and max_bytes is None:
        raise InputError("nothing says what to prune; give an encoder, an age or a size")
    if min(max_age_days or 0, max_bytes or 0) < 0:
        raise InputError(f"age {max_age_days} and size {max_bytes} came, at least 0 was expected")
    entries = [e for e in list_cache(cache_dir) if encoder is None or _is_of(e, encoder)]
    chosen = entries
    if max_age_days is not None or max_bytes is not None:
        chosen = _beyond(entries, max_age_days, max_bytes)
    busy = tuple(entry for entry in chosen if _is_busy(entry))
    removed = tuple(entry for entry in chosen if entry not in busy)
    for entry in removed:
        remove_entry(entry.path)
    if removed and not list(_folders(Path(cache_dir))):
        (Path(cache_dir) / MEMO_NAME).unlink(missing_ok=True)
    return Pruned(removed, busy)


def _is_busy(entry: CacheEntry) -> bool:
    return is_busy(entry.path) or holding_is_busy(entry)


def _folders(cache_dir: Path) -> Iterator[Path]:
    """Give the folders of a cache, after removing what a killed pruning left."""
    for path in sorted((cache_dir / "features").glob("*")):
        if path.name.startswith(TRASH):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            yield path


def _entry(path: Path) -> CacheEntry:
    facts, used = _facts(path)
    n_vectors = 0
    for file in shard_files(path):
        with suppress(CheckpointError, FileNotFoundError):  # verify tells; merges take away
            n_vectors += len(open_shard(file))
    n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    created = datetime.fromisoformat(facts["created"]) if "created" in facts else used
    return CacheEntry(
        path=path,
        encoder=str(facts.get("encoder", "unknown")),
        fingerprint=str(facts.get("fingerprint", "unknown")),
        precision=str(facts.get("precision", "unknown")),
        engine=str(facts.get("engine", "unknown")),
        kind=str(facts.get("kind", "unknown")),
        n_vectors=n_vectors,
        n_bytes=n_bytes,
        created=created,
        last_used=used,
    )


def _facts(path: Path) -> tuple[dict[str, Any], datetime]:  # Any: plain JSON values
    """Return what ``meta.json`` says and its time; a folder without it was never used."""
    try:
        meta = path / "meta.json"
        return read_object(meta), datetime.fromtimestamp(meta.stat().st_mtime, UTC)
    except (OSError, RunError):
        return {}, datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _verified_length(file: Path) -> int:
    if not shard_is_intact(file):
        open_shard(file)  # says more where the file is cut short
        raise CheckpointError(f"{str(file)!r} was altered since it was written")
    return len(open_shard(file))


def _is_of(entry: CacheEntry, encoder: str) -> bool:
    return entry.encoder == encoder or (bool(encoder) and entry.fingerprint.startswith(encoder))


def _beyond(
    entries: list[CacheEntry], max_age_days: float | None, max_bytes: int | None
) -> list[CacheEntry]:
    """Return the entries, last used first, that are too old or do not fit any more."""
    oldest = datetime.now(UTC) - timedelta(days=max_age_days or 0)
    beyond, kept_bytes = [], 0
    for entry in entries:
        too_old = max_age_days is not None and entry.last_used < oldest
        too_large = max_bytes is not None and kept_bytes + entry.n_bytes > max_bytes
        if too_old or too_large:
            beyond.append(entry)
        else:
            kept_bytes += entry.n_bytes
    return beyond
