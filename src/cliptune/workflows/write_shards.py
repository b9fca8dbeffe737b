"""A data set written in another format by shards: planned here, computed by an executor.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import InputError, ShardsFailedError
from cliptune.system.escaping import for_terminal

if TYPE_CHECKING:
    from cliptune.images import ImageTable
    from cliptune.workflows.progress import Watch
    from cliptune.workflows.shard_workers import ShardWorkers

__all__ = ["require_format_of_shards", "write_by_shards"]

_FORMAT = "webdataset"


def require_format_of_shards(form: str | None, executor: str) -> None:
    """Make sure that a format is written by shards.

    Raises:
        InputError: It is not, or there is none.
    """
    if form != _FORMAT:
        came = "without --to" if form is None else f"with --to {form}"
        raise InputError(
            f"--executor {executor} came {came}; only --to {_FORMAT} is written by shards: take "
            "that, or leave the executor out"
        )


def write_by_shards(
    table: ImageTable, folder: Path, workers: ShardWorkers, watch: Watch
) -> tuple[str, ...]:
    """Write a table as tars, each by a worker; a call that was killed goes on.

    Args:
        table: N images.
        folder: New, or of this very job.
        workers: Who writes.
        watch: Who is told.

    Returns:
        Sentences about what the format cannot hold, and about images that changed meanwhile.

    Raises:
        ShardsFailedError: Tars are missing because of an error, each of which was told.
        RunError: The folder holds something else, or another process writes it.
        DataError: The format cannot hold the labels or splits of this table.
        UnavailableError: The folder cannot be written.
    """
    from cliptune.images.writers.webdataset import IMAGES_A_TAR, note_kinds
    from cliptune.scale.job import run_job
    from cliptune.scale.tar_job import TarJob, plan_tars

    plan = plan_tars(table, rows_per_shard=workers.rows_per_shard(IMAGES_A_TAR))
    job = TarJob(
        plan=plan,
        table=table,
        folder=folder.absolute(),
        names=_names(table),
        retry=workers.options.retry,
    )
    with watch.stage(f"writing {_FORMAT}") as show:
        summary = run_job(job, workers.execute, lambda s: show(s.images, s.of_images or 0))
    for number, reason in summary.failed.items():
        watch.note(for_terminal(f"{plan.shards[number].file} failed: {reason}"))
    if summary.failed:
        number, reason = next(iter(summary.failed.items()))
        raise ShardsFailedError(
            f"{len(summary.failed)} of {plan.n_shards} shards failed "
            f"({plan.shards[number].file}: {reason}); the others are written: repeat the command "
            "with --retry once that is mended"
        )
    written = [facts for n in range(plan.n_shards) if (facts := job.facts(n)) is not None]
    notes = note_kinds({kind for facts in written for kind in facts.kinds})
    if table.confidence is not None:
        notes = (*notes, "how sure labels are is not written")
    if summary.changed:
        notes = (
            *notes,
            f"{len(summary.changed)} images or archives were written to after their tar, such as "
            f"{summary.changed[0]}; write into a new folder to have them as they are",
        )
    return notes


def _names(table: ImageTable) -> tuple[str, ...]:
    """Name each image as it is named where one process writes its split."""
    from cliptune.images.writers.written import name_rows, split_rows

    names = [""] * len(table)
    for rows in split_rows(table).values():
        for row, name in zip(rows.tolist(), name_rows(table.select(rows)), strict=True):
            names[row] = name
    return tuple(names)
