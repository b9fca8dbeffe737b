"""Features that a table lacks, computed by shards and taken into the cache one by one.

What is done is what the cache holds: a part that is finished is moved there at once, and one that
was finished when a driver was killed is moved there by the next. Shards are cut from the images
without features in the table's order, at multiples of a batch, so that those that remain after a
kill are cut as before. It knows nothing about options or results.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from cliptune.errors import RunError, UnavailableError
from cliptune.features.embed import first_of_each
from cliptune.features.keys import content_digest, table_digest
from cliptune.scale.feature_shard import FeatureTask
from cliptune.scale.shard import EncoderRecipe
from cliptune.scale.tasks import ShardOutcome
from cliptune.system.atomic import TEMPORARY, atomic_path, os_reason
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    from cliptune.features.folder import ShardFolder
    from cliptune.images import ImageTable
    from cliptune.scale.tasks import Task

__all__ = ["FeatureJob", "FeatureSummary", "run_feature_job"]

_FAILED, _LOCK = "failed.json", ".driver.lock"
_UNSEEN = (
    "its part is not to be seen here after it was computed; all machines have to see the cache "
    "(--cache-dir) at the same path"
)


@dataclass(frozen=True)
class FeatureJob:
    """Images, and what is to be known of them.

    Attributes:
        table: N images.
        contents: Digest of each image's bytes, shape (N,).
        folders: The cache's folders by kind of vector.
        recipe: What embeds.
        home: Folder for the parts of all jobs, on the disk of the cache.
        rows_per_shard: Images of each shard but the last.
        threads: That decode within a worker.
        on_bad_image: ``fail`` or ``skip``.
        retry: Compute shards again that failed before.
    """

    table: ImageTable
    contents: NDArray[np.bytes_]
    folders: Mapping[str, ShardFolder]
    recipe: EncoderRecipe
    home: Path
    rows_per_shard: int
    threads: int
    on_bad_image: Literal["fail", "skip"] = "fail"
    retry: bool = False

    @property
    def folder(self) -> Path:
        """Of this job: its name says which images and which vectors."""
        names = sorted(folder.path.name for folder in self.folders.values())
        text = "\n".join([*names, table_digest(self.contents)])
        return self.home / content_digest(text.encode()).hex()


@dataclass
class FeatureSummary:
    """How a job ended.

    Attributes:
        shards: How many there were to compute.
        computed: Images of the parts of this call.
        failed: Shards without a part, and why.
        lost: Those of them that were lost with a machine, or whose part is not to be seen here:
            nothing is wrong with their images, and the next call computes them.
        skipped: Ids of images that could not be read.
        checked: Rows that were computed twice, and the largest difference.
    """

    shards: int = 0
    computed: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    skipped: list[str] = field(default_factory=list)
    checked: tuple[int, float] = (0, 0.0)


def run_feature_job(
    job: FeatureJob,
    execute: Callable[[Iterable[Task]], Iterator[ShardOutcome]],
    progress: Callable[[int, int], None],
) -> FeatureSummary:
    """Compute what the cache lacks, and take it up part by part.

    Args:
        job: What.
        execute: Computes tasks; see ``executors``.
        progress: Called with images done and images to do.

    Raises:
        RunError: Another process works on the same images.
        UnavailableError: The cache cannot be written to.
    """
    with _held(job.folder):
        _take_leftovers(job)
        lacking = _lacking(job)
        wanted = np.logical_or.reduce(list(lacking.values()))
        rows = first_of_each(job.contents, wanted)
        shards = [
            rows[start : start + job.rows_per_shard]
            for start in range(0, len(rows), job.rows_per_shard)
        ]
        summary = FeatureSummary(len(shards))
        names = [table_digest(job.contents[shard]) for shard in shards]
        known = {} if job.retry else _read_failed(job.folder)
        summary.failed = {n: known[name] for n, name in enumerate(names) if name in known}
        progress(0, len(rows))
        done = 0
        for outcome in execute(_tasks(job, shards, lacking, set(summary.failed))):
            _take(job, summary, outcome)
            done += len(shards[outcome.number])
            progress(done, len(rows))
        summary.failed = dict(sorted(summary.failed.items()))
        kept = {names[n]: why for n, why in summary.failed.items() if n not in summary.lost}
        _end(job.folder, kept)
        return summary


def _lacking(job: FeatureJob) -> dict[str, NDArray[np.bool_]]:
    for folder in job.folders.values():
        folder.refresh()
    return {kind: folder.lacks(job.contents) for kind, folder in job.folders.items()}


def _tasks(
    job: FeatureJob,
    shards: list[NDArray[np.int64]],
    lacking: Mapping[str, NDArray[np.bool_]],
    left_out: set[int],
) -> Iterator[FeatureTask]:
    for number, rows in enumerate(shards):
        if number in left_out:
            continue
        yield FeatureTask(
            number=number,
            table=job.table.select(rows),
            contents=job.contents[rows],
            lacking={kind: wanted[rows] for kind, wanted in lacking.items()},
            folders={kind: folder.path.name for kind, folder in job.folders.items()},
            folder=job.folder.absolute(),
            recipe=job.recipe,
            on_bad_image=job.on_bad_image,
            threads=job.threads,
        )


def _take(job: FeatureJob, summary: FeatureSummary, outcome: ShardOutcome) -> None:
    """Move a shard's files into the cache, and count them."""
    error, lost = outcome.error, outcome.lost
    owners = {folder.path.name: folder for folder in job.folders.values()}
    for file in outcome.files:
        path = job.folder / file
        if not is_file(path) or not owners[path.parent.name].adopt(path):
            error, lost = _UNSEEN, True
    if error:
        summary.failed[outcome.number] = error
        if lost:
            summary.lost.add(outcome.number)
        return
    summary.computed += outcome.rows
    summary.skipped += [name for name, _ in outcome.skipped]
    n, largest = outcome.checked
    summary.checked = (summary.checked[0] + n, max(summary.checked[1], largest))


def _take_leftovers(job: FeatureJob) -> None:
    """Move parts into the cache that were finished when their driver was killed.

    Those of jobs over other tables too: an image that was mended makes another table.
    """
    others = [path for path in job.home.iterdir() if path.is_dir() and path != job.folder]
    for path in (job.folder, *others):
        if path == job.folder:
            _adopt_all(job, path)
            continue
        with suppress(RunError), _held(path):
            _adopt_all(job, path)
            _end(path, _read_failed(path))


def _adopt_all(job: FeatureJob, place: Path) -> None:
    for folder in job.folders.values():
        own = place / folder.path.name
        for leftover in own.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        for path in sorted(own.glob("[0-9]*-*.safetensors")):
            with suppress(FileNotFoundError):
                folder.adopt(path)
        with suppress(OSError):
            own.rmdir()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a job for this process; the system drops the lock with it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process embeds these images by shards in {str(folder)!r}; wait for it, then "
            "repeat the command"
        ) from None
    except OSError as error:
        raise UnavailableError(f"cannot write {str(folder)!r} ({os_reason(error)})") from error
    try:
        yield
    finally:
        lock.release()


def _end(folder: Path, failed: Mapping[str, str]) -> None:
    """Write down what failed; where nothing did and nothing is left, remove the job's folder."""
    if failed:
        with atomic_path(folder / _FAILED) as temporary:
            text = json.dumps(dict(failed), indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return
    with suppress(OSError):
        (folder / _FAILED).unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            shutil.rmtree(folder)


def _read_failed(folder: Path) -> dict[str, str]:
    """Read which shards failed, by the digest of their images."""
    if not is_file(folder / _FAILED):
        return {}
    return {name: str(error) for name, error in read_object(folder / _FAILED).items()}
