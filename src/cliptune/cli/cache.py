"""``cliptune cache``: what is kept and how large it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App

from cliptune.cli.console import print_json, print_table, print_text
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import Output
from cliptune.errors import InputError
from cliptune.system.formatting import size

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.features import CacheEntry, Recomputed

__all__ = ["app"]

app = App(name="cache", help="List, verify or prune what is kept.", help_format="plaintext")


@app.command(name="list")
def list_entries(*, cache_dir: Path | None = None, output: Output = Output()) -> None:
    """List what is kept: vectors, graphs of engines, sweeps, and sections of studies.

    Args:
        cache_dir: The cache; $CLIPTUNE_CACHE or the user's cache otherwise.
        output: How results are shown.
    """
    from cliptune.features import list_cache

    place = _place(cache_dir)
    entries = list_cache(place)
    if output.json:
        print_json({"cache": str(place), "entries": [_plain(e) for e in entries]})
    else:
        _show(f"Cache {place}", entries)


@app.command
def verify(
    *,
    recompute: Annotated[int | None, whole(at_least=1)] = None,
    cache_dir: Path | None = None,
    output: Output = Output(),
) -> None:
    """Compare every file with its checksum; damaged ones are set aside and made again on use.

    Args:
        recompute: Also compute about so many stored vectors again, each alone, from their images
            and texts where these are still where they were; what differs is set aside too.
        cache_dir: The cache; $CLIPTUNE_CACHE or the user's cache otherwise.
        output: How results are shown.
    """
    from cliptune.features import verify_cache

    check = verify_cache(_place(cache_dir))
    again = None if recompute is None else _recompute(_place(cache_dir), recompute)
    found = [*check.damaged, *(again.damaged if again else ())]
    damaged = [{"path": str(d.path), "problem": d.problem} for d in found]
    if output.json:
        plain: dict[str, Any] = {"files": check.n_shards, "vectors": check.n_vectors}
        print_json({**plain, "damaged": damaged, **(_plain_recomputed(again) if again else {})})
        return
    print_text(f"{check.n_shards} files with {check.n_vectors} vectors are whole")
    if again is not None:
        _show_recomputed(again)
    for entry in damaged:
        print_text(f"set aside {entry['path']}: {entry['problem']}")


def _recompute(place: Path, n_vectors: int) -> Recomputed:
    from cliptune.encoders.engines import open_recorded
    from cliptune.features import recompute_cache

    opened: dict[tuple[str, ...], DualEncoder] = {}

    def open_encoder(entry: CacheEntry) -> DualEncoder:
        asked = (entry.encoder, entry.engine, entry.precision)
        if asked not in opened:
            engine = entry.engine.split()[0] if entry.engine else ""
            opened[asked] = open_recorded(entry.encoder, engine, entry.precision, cache_dir=place)
        return opened[asked]

    return recompute_cache(place, n_vectors, open_encoder)


def _plain_recomputed(again: Recomputed) -> dict[str, Any]:  # Any: plain JSON values
    left_out = [
        {"path": str(out.entry.path), "encoder": out.entry.encoder, "reason": out.reason}
        for out in again.left_out
    ]
    return {"rows_checked": again.checked.to_dict(), "not_recomputed": left_out}


def _show_recomputed(again: Recomputed) -> None:
    largest = f", largest difference {again.checked.largest_difference:.2g}"
    print_text(f"{again.checked.n} vectors computed again" + (largest if again.checked.n else ""))
    for out in again.left_out:
        print_text(f"not computed again: {out.entry.kind} of {out.entry.encoder}: {out.reason}")


@app.command
def prune(
    *,
    encoder: str | None = None,
    max_age_days: Annotated[float | None, number(at_least=0)] = None,
    max_megabytes: Annotated[float | None, number(at_least=0)] = None,
    cache_dir: Path | None = None,
    output: Output = Output(),
) -> None:
    """Remove what was not used for long, until the rest fits; at least one limit is needed.

    Args:
        encoder: Only what belongs to this encoder.
        max_age_days: Remove what was last used longer ago.
        max_megabytes: Remove the oldest until no more than this is left.
        cache_dir: The cache; $CLIPTUNE_CACHE or the user's cache otherwise.
        output: How results are shown.
    """
    from cliptune.features import prune_cache

    pruned = prune_cache(
        _place(cache_dir),
        encoder=encoder,
        max_age_days=max_age_days,
        max_bytes=None if max_megabytes is None else int(max_megabytes * 1e6),
    )
    if output.json:
        print_json(
            {name: [_plain(e) for e in getattr(pruned, name)] for name in ("removed", "busy")}
        )
    else:
        _show("Removed", pruned.removed)
        if pruned.busy:
            _show("In use, kept", pruned.busy)


def _place(cache_dir: Path | None) -> Path:
    from cliptune.system.file_kinds import exists, is_folder
    from cliptune.system.paths import cache_dir as default

    place = cache_dir or default()
    if exists(place) and not is_folder(place):
        raise InputError(f"--cache-dir {str(place)!r} is no folder; name the folder of a cache")
    return place


def _plain(entry: CacheEntry) -> dict[str, Any]:  # Any: plain JSON values
    return {
        name: value if isinstance(value, (int, str)) else str(value)
        for name, value in vars(entry).items()
    }


def _show(title: str, entries: tuple[CacheEntry, ...] | list[CacheEntry]) -> None:
    rows = [
        (
            e.encoder or e.name,
            e.precision,
            e.kind,
            str(e.n_vectors) if e.n_vectors else "",
            size(e.n_bytes),
            f"{e.last_used:%Y-%m-%d}",
        )
        for e in entries
    ]
    print_table(title, ("what", "precision", "kind", "vectors", "size", "last used"), rows)
