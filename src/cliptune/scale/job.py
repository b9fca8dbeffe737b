"""A job from its first shard to its manifest; what is done is read from the folder.

Killed at any moment and started again it computes what lacks, and the finished parts are the
same. It knows nothing about options or results.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from cliptune.errors import RunError, UnavailableError
from cliptune.scale.parts import PartFacts, file_digest, read_part_facts
from cliptune.scale.plan import JobPlan, Plan
from cliptune.scale.shard import EncoderRecipe, ShardTask, changed_since
from cliptune.scale.tasks import ShardOutcome, Task
from cliptune.system.atomic import TEMPORARY, atomic_path, os_reason
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["MANIFEST", "EmbedJob", "Job", "JobSummary", "Standing", "TableJob", "run_job"]

MANIFEST = "manifest.json"
_FAILED = "failed.json"
Execute = Callable[[Iterable[Task]], Iterator[ShardOutcome]]


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """A plan and its folder; what a part is, is said below.

    Attributes:
        plan: What it consists of.
        folder: Where parts go.
        share: (i, n): every n-th shard from the i-th on, from 0, is this process's; the others
            are computed elsewhere.
        retry: Compute shards again that failed before.
    """

    plan: Plan
    folder: Path
    share: tuple[int, int] = (0, 1)
    retry: bool = False

    @abstractmethod
    def task(self, number: int) -> Task:
        """Return what computes a shard."""

    @abstractmethod
    def facts(self, number: int) -> PartFacts | None:
        """Read what a shard's part says of itself; None where it is absent or another's."""

    @abstractmethod
    def n_images(self, number: int) -> int | None:
        """Return how many images a shard has; None where that is known once it was read."""

    @abstractmethod
    def changed(self, number: int) -> list[str]:
        """Return what was written to after the shard's part was."""

    def verify(self) -> None:  # noqa: B027  most jobs have nothing to see
        """Look at all parts together before the job is closed; here there is nothing to see."""


@dataclass(frozen=True, kw_only=True)
class TableJob(Job):
    """A job whose images are known.

    Attributes:
        plan: Which rows go where.
        table: The images.
    """

    plan: JobPlan
    table: ImageTable

    def n_images(self, number: int) -> int:
        """Return how many images a shard has."""
        return len(self.plan.rows(number))

    def changed(self, number: int) -> list[str]:
        """Return images, or archives that hold them, that were written to after the part."""
        written = os.stat(self.plan.part(self.folder, number)).st_mtime  # noqa: PTH116
        return changed_since(self.table.select(self.plan.rows(number)), written)


@dataclass(frozen=True, kw_only=True)
class EmbedJob(TableJob):
    """A job whose parts are vectors in Parquet files.

    Attributes:
        recipe: What embeds.
        threads: That decode within a worker.
    """

    recipe: EncoderRecipe
    threads: int

    def task(self, number: int) -> Task:
        """Return what embeds a shard."""
        return ShardTask(
            number=number,
            table=self.table.select(self.plan.rows(number)),
            path=self.plan.part(self.folder, number),
            recipe=self.recipe,
            job=self.plan.digest,
            dtype=str(self.plan.facts["dtype"]),
            on_bad_image=self.plan.on_bad_image,
            threads=self.threads,
        )

    def facts(self, number: int) -> PartFacts | None:
        """Read what a Parquet file says of itself."""
        return read_part_facts(self.plan.part(self.folder, number), self.plan.digest)


@dataclass(frozen=True)
class JobSummary:
    """Where a job stands.

    Attributes:
        rows: In all parts that are there.
        computed: In those of this call.
        failed: Shards without a part, and why.
        missing: Shards of other processes that are not there yet.
        skipped: Images that could not be read, and why.
        changed: Images or archives that were written to after their part.
        checked: Rows that were computed twice, and the largest difference.
    """

    rows: int
    computed: int
    failed: Mapping[int, str]
    missing: int
    skipped: tuple[tuple[str, str], ...]
    changed: tuple[str, ...]
    checked: tuple[int, float]


@dataclass(frozen=True)
class Standing:
    """How far a job is while it runs.

    Attributes:
        images: In the parts that are there.
        of_images: In all shards of this process; None where nobody knows yet.
        computed: In those of this call.
        shards: Parts that are there, of this process.
        of_shards: In all.
    """

    images: int
    of_images: int | None
    computed: int
    shards: int
    of_shards: int


@dataclass
class _State:
    done: dict[int, PartFacts] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    computed: int = 0
    checked: tuple[int, float] = (0, 0.0)


def run_job(job: Job, execute: Execute, progress: Callable[[Standing], None]) -> JobSummary:
    """Compute what lacks, and close the job once all parts are there.

    Args:
        job: What.
        execute: Computes tasks; see ``executors``.
        progress: Called with how far it is.

    Raises:
        RunError: Another process works on the same shards, or the folder holds another job.
        UnavailableError: The folder cannot be written to.
    """
    with _held(job):
        job.plan.begin(job.folder)
        _clear(job)
        state = _look(job)
        counts = [job.n_images(number) for number in _own(job)]
        known = [n for n in counts if n is not None]
        total = sum(known) if len(known) == len(counts) else None
        progress(_standing(job, state, total))
        for outcome in execute(_tasks(job, state)):
            _take(job, state, outcome)
            progress(_standing(job, state, total))
        return _close(job, state)


def _own(job: Job) -> range:
    return range(job.share[0], job.plan.n_shards, job.share[1])


def _standing(job: Job, state: _State, total: int | None) -> Standing:
    images = sum(facts.rows + len(facts.skipped) for facts in state.done.values())
    return Standing(images, total, state.computed, len(state.done), len(_own(job)))


@contextmanager
def _held(job: Job) -> Iterator[None]:
    """Keep the shards for this process; the system drops the lock with it."""
    place, count = job.share
    name = ".driver.lock" if count == 1 else f".driver-{place}-of-{count}.lock"
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(job.folder / name)
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process works on this job in {str(job.folder)!r}; wait for it, or name "
            "another folder"
        ) from None
    except OSError as error:
        raise UnavailableError(f"cannot write {str(job.folder)!r} ({os_reason(error)})") from error
    try:
        yield
    finally:
        lock.release()


def _clear(job: Job) -> None:
    """Remove what killed writers had begun; nobody else writes these shards now."""
    if job.share[1] == 1:
        for leftover in job.plan.part(job.folder, 0).parent.glob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)


def _look(job: Job) -> _State:
    state = _State()
    failed = {} if job.retry else _read_failed(job.folder)
    digests = _read_digests(job)
    for number in _own(job):
        path = job.plan.part(job.folder, number)
        facts = job.facts(number)
        if facts is not None and digests.get(number, "") not in ("", file_digest(path)):
            facts = None  # somebody altered it since the job was finished
        expected = job.n_images(number)
        if facts is not None and expected in (None, facts.rows + len(facts.skipped)):
            state.done[number] = facts
        elif number in failed:
            state.failed[number] = failed[number]
    return state


def _tasks(job: Job, state: _State) -> Iterator[Task]:
    for number in _own(job):
        if number not in state.done and number not in state.failed:
            yield job.task(number)


def _take(job: Job, state: _State, outcome: ShardOutcome) -> None:
    if outcome.error:
        state.failed[outcome.number] = outcome.error
        if outcome.lost:
            state.lost.add(outcome.number)
        known = {str(n): e for n, e in sorted(state.failed.items()) if n not in state.lost}
        _write_json(job.folder / _FAILED, known)
        return
    state.done[outcome.number] = job.facts(outcome.number) or PartFacts(
        outcome.rows, outcome.skipped
    )
    state.computed += outcome.rows
    n, largest = outcome.checked
    state.checked = (state.checked[0] + n, max(state.checked[1], largest))


def _close(job: Job, state: _State) -> JobSummary:
    """Write the manifest where every part is there, those of other processes too."""
    done = dict(state.done)
    for number in set(range(job.plan.n_shards)) - set(_own(job)):
        facts = job.facts(number)
        if facts is not None:
            done[number] = facts
    if not state.failed and job.share[1] == 1:
        with suppress(OSError):
            (job.folder / _FAILED).unlink()
    if len(done) == job.plan.n_shards:
        job.verify()
        _write_json(job.folder / MANIFEST, _manifest(job, done))
    changed = tuple(path for number in sorted(done) for path in job.changed(number))
    return JobSummary(
        rows=sum(facts.rows for facts in done.values()),
        computed=state.computed,
        failed=dict(sorted(state.failed.items())),
        missing=job.plan.n_shards - len(done) - len(state.failed),
        skipped=tuple(one for number in sorted(done) for one in done[number].skipped),
        changed=tuple(dict.fromkeys(changed)),
        checked=state.checked,
    )


def _manifest(job: Job, done: Mapping[int, PartFacts]) -> dict[str, Any]:  # Any: plain JSON
    parts = [
        {
            "file": job.plan.part(Path(), number).as_posix(),
            "rows": done[number].rows,
            "sha256": done[number].sha256 or file_digest(job.plan.part(job.folder, number)),
        }
        for number in range(job.plan.n_shards)
    ]
    rows = sum(facts.rows for facts in done.values())
    return {"job": job.plan.digest, "facts": dict(job.plan.facts), "rows": rows, "parts": parts}


def _read_digests(job: Job) -> dict[int, str]:
    """Read the digests of a finished job's parts; none where it is not finished."""
    if not is_file(job.folder / MANIFEST):
        return {}
    try:
        found = read_object(job.folder / MANIFEST)
        parts = found["parts"] if found.get("job") == job.plan.digest else []
        return {number: str(part["sha256"]) for number, part in enumerate(parts)}
    except (RunError, KeyError, TypeError):
        return {}  # it is written anew at the end


def _read_failed(folder: Path) -> dict[int, str]:
    if not is_file(folder / _FAILED):
        return {}
    found = read_object(folder / _FAILED)
    return {int(n): str(e) for n, e in found.items() if n.isascii() and n.isdecimal()}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:  # Any: plain JSON values
    with atomic_path(path) as temporary:
        text = json.dumps(values, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
