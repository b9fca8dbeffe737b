"""Read every image once and list those that cannot be read.

It decides nothing: ``apply_bad_image_policy`` does what the user asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cliptune.errors import BadImageError, DataError, InputError
from cliptune.images.decode import MAX_PIXELS, check_image, reason_of
from cliptune.images.table import ImageTable
from cliptune.system.processors import usable_cores

__all__ = ["BadImage", "ScanReport", "apply_bad_image_policy", "drop_bad", "scan_images"]

_log = logging.getLogger(__name__)
_ROWS_PER_TASK = 32


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read.

    Attributes:
        row: Its number in the table.
        id: Its id.
        path: Where it lies.
        reason: What is wrong with it.
    """

    row: int
    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class ScanReport:
    """What a scan found.

    Attributes:
        n_images: How many images were read.
        bad: Those that cannot be, in the order of the table.
    """

    n_images: int
    bad: tuple[BadImage, ...]


def scan_images(
    table: ImageTable,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> ScanReport:
    """Read and decode every image of a table.

    Args:
        table: N images.
        progress: Called with (done, N) at the start and now and then.
        workers: Threads; by default one for each processor.
        max_pixels: More than this is unreadable.
    """
    report = progress or (lambda done, total: None)
    chunks = np.array_split(np.arange(len(table)), max(1, len(table) // _ROWS_PER_TASK))
    bad: list[BadImage] = []
    done = 0
    report(done, len(table))
    pool = ThreadPoolExecutor(workers or usable_cores(), thread_name_prefix="cliptune-scan")
    try:
        for chunk, found in zip(
            chunks, pool.map(lambda rows: _scan_rows(table, rows, max_pixels), chunks), strict=True
        ):
            bad += found
            done += len(chunk)
            report(done, len(table))
    finally:
        # When the caller's progress function raises, nobody waits for the rest.
        pool.shutdown(cancel_futures=True)
    return ScanReport(len(table), tuple(bad))


def _scan_rows(table: ImageTable, rows: Iterable[int], max_pixels: int) -> list[BadImage]:
    bad = []
    for row in map(int, rows):
        source = table.sources[row]
        try:
            check_image(source.read(), name=source.location, max_pixels=max_pixels)
        except BadImageError as error:
            reason = reason_of(error, source.location)
            bad.append(BadImage(row, source.id, source.location, reason))
    return bad


def drop_bad(table: ImageTable, report: ScanReport) -> ImageTable:
    """Return the table without the images that its scan could not read.

    Raises:
        InputError: The report is about a table of another length.
    """
    if report.n_images != len(table):
        raise InputError(
            f"the report is about {report.n_images} images, the table has {len(table)}; scan it"
        )
    keep = np.ones(len(table), dtype=np.bool_)
    keep[[image.row for image in report.bad]] = False
    return table.select(keep)


def apply_bad_image_policy(
    table: ImageTable, report: ScanReport, *, policy: Literal["fail", "skip"]
) -> ImageTable:
    """Stop at unreadable images, or go on without them and say so.

    Raises:
        BadImageError: ``policy`` is ``fail`` and there are some; the message lists the first.
        DataError: None is left, or a class has lost all its images.
        InputError: There is no such policy.
    """
    if policy not in ("fail", "skip"):
        raise InputError(f"unknown policy {policy!r} for unreadable images; expected fail or skip")
    if not report.bad:
        return table
    listed = "; ".join(f"{image.path}: {image.reason}" for image in report.bad[:3])
    count = f"{len(report.bad)} of {report.n_images} images cannot be read"
    more = f"; and {len(report.bad) - 3} more" if len(report.bad) > 3 else ""
    if policy == "fail":
        raise BadImageError(
            f"{count}: {listed}{more}; mend or remove them, or leave them out with "
            "--on-bad-image skip"
        )
    kept = drop_bad(table, report)
    if not len(kept):
        raise DataError(f"all {count}: {listed}{more}")
    lost = sorted(set(table.labels.tolist()) - set(kept.labels.tolist()) - {-1})
    if lost:
        names = ", ".join(repr(table.class_names[c]) for c in lost)
        raise DataError(f"{count}, and the classes {names} have none left: {listed}{more}")
    _log.info("%s and are left out: %s%s", count, listed, more)
    return kept
