"""The features that a verb is about to ask for, computed by an executor into the cache.

It knows nothing about what the verb does with them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import ShardsFailedError
from cliptune.system.escaping import for_terminal

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable, ScanReport
    from cliptune.runs import RunDir
    from cliptune.scale.feature_job import FeatureSummary
    from cliptune.workflows.session import Session
    from cliptune.workflows.shard_workers import ShardWorkers

__all__ = ["Ahead", "embed_ahead"]

_ROWS_PER_SHARD = 4096
_JOBS = "jobs"  # below the cache: parts are renamed into it


@dataclass(frozen=True)
class Ahead:
    """What an executor did.

    Attributes:
        n_embedded: Distinct images that were not in the cache.
        seconds: What it took.
        report: The images that could not be read, where they are to be left out.
    """

    n_embedded: int = 0
    seconds: float = 0.0
    report: ScanReport | None = None


def embed_ahead(
    session: Session,
    workers: ShardWorkers,
    encoder: DualEncoder,
    table: ImageTable,
    kinds: Sequence[str],
    *,
    on_bad_image: Literal["fail", "skip"],
    run: RunDir | None = None,
) -> Ahead:
    """Compute the vectors that the cache lacks, shard by shard.

    Args:
        session: Whose cache, and who is told.
        workers: Who computes.
        encoder: What embeds.
        table: N images.
        kinds: Of ``pooled``, ``tokens`` and ``trunk``.
        on_bad_image: ``fail``: a shard with an unreadable image fails; ``skip``: it is left out.
        run: Whose encoder it is.

    Raises:
        ShardsFailedError: Shards failed, each of which was told; the others are kept.
        BadImageError: The bytes of an image cannot be had.
        RunError: Another process works on the same images.
        UnavailableError: The cache cannot be written to, or Ray does not answer.
    """
    from cliptune.features.guard import RowsChecked
    from cliptune.scale.feature_job import FeatureJob, run_feature_job
    from cliptune.workflows.shard_workers import recipe_of

    store, began = session.store, time.perf_counter()
    contents, folders = store.open(encoder, table, kinds)
    for folder in folders.values():
        folder.refresh()
    lacking = np.logical_or.reduce([folder.lacks(contents) for folder in folders.values()])
    if not lacking.any():
        return Ahead()
    store.record(table, contents, np.flatnonzero(lacking))
    job = FeatureJob(
        table=table,
        contents=contents,
        folders=folders,
        recipe=recipe_of(encoder, store.cache_dir, run),
        home=store.cache_dir / _JOBS,
        rows_per_shard=workers.rows_per_shard(_ROWS_PER_SHARD),
        threads=workers.threads,
        on_bad_image=on_bad_image,
        retry=workers.options.retry,
    )
    with session.watch.stage(f"embedding with {encoder.name}") as show:
        summary = run_feature_job(job, partial(workers.execute, device=job.recipe.device), show)
    store.guard.checked += RowsChecked(*summary.checked)
    _require_all(session, summary)
    report = _bad_images(table, contents, set(summary.skipped)) if summary.skipped else None
    return Ahead(summary.computed, time.perf_counter() - began, report)


def _require_all(session: Session, summary: FeatureSummary) -> None:
    """Tell which shards failed.

    Raises:
        ShardsFailedError: Some did.
    """
    for number, reason in summary.failed.items():
        session.watch.note(for_terminal(f"shard {number} failed: {reason}"))
    if summary.failed:
        number, reason = next(iter(summary.failed.items()))
        raise ShardsFailedError(
            f"{len(summary.failed)} of {summary.shards} shards failed (shard {number}: {reason}); "
            "the features of the others are kept: repeat the command with --retry once that is "
            "mended"
        )


def _bad_images(table: ImageTable, contents: NDArray[np.bytes_], skipped: set[str]) -> ScanReport:
    """Describe every unreadable image of a table: those that were found, and their copies."""
    from dataclasses import replace

    from cliptune.images import ScanReport, scan_images

    found = np.array([name in skipped for name in table.ids])
    rows = np.flatnonzero(np.isin(contents, contents[found]))
    bad = [replace(one, row=int(rows[one.row])) for one in scan_images(table.select(rows)).bad]
    return ScanReport(len(table), tuple(bad))
