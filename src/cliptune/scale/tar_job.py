"""A data set written as tars by shards: each is one file of a fixed name, whole or not at all.

It knows the writer of WebDataset, and nothing about encoders.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CliptuneError, DataError, RunError
from cliptune.scale.job import TableJob
from cliptune.scale.parts import PartFacts, file_digest
from cliptune.scale.plan import JobPlan
from cliptune.scale.shard import changed_since
from cliptune.scale.tasks import ShardOutcome
from cliptune.system.atomic import atomic_path
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object
from cliptune.system.typed import require_types

if TYPE_CHECKING:
    from cliptune.images import ImageTable
    from cliptune.scale.tasks import Task

__all__ = ["TarFacts", "TarJob", "TarPlan", "TarTask", "plan_tars"]

_SAID = ".said"  # folder of what is known of each tar; readers of data sets pass over it
_LAYOUT = 1  # of the files; raise it when they change


@dataclass(frozen=True)
class TarFacts(PartFacts):
    """What is known of a tar.

    Attributes:
        kinds: Suffixes of the images in it.
        n_bytes: Its size.
    """

    kinds: tuple[str, ...] = ()
    n_bytes: int = 0


@dataclass(frozen=True)
class TarShard:
    """Which images a tar holds.

    Attributes:
        file: Its name.
        first: Number of its first image among those of its split.
        rows: Rows of the table, shape (n,).
    """

    file: str
    first: int
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class TarPlan(JobPlan):
    """One job: N images in tars, each of consecutive images of one split.

    Attributes:
        shards: Its tars.
    """

    shards: tuple[TarShard, ...] = ()

    @property
    def n_shards(self) -> int:
        """How many tars there are."""
        return len(self.shards)

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a tar."""
        return self.shards[number].rows

    def part(self, folder: Path, number: int) -> Path:
        """Return a tar's file."""
        return folder / self.shards[number].file


def plan_tars(table: ImageTable, *, rows_per_shard: int) -> TarPlan:
    """Say which images go into which tar.

    Args:
        table: N images.
        rows_per_shard: Images of each tar but the last of its split.
    """
    from cliptune.images.writers.webdataset import tar_name
    from cliptune.images.writers.written import split_rows

    shards = [
        TarShard(tar_name(split, start // rows_per_shard), start, rows[start:][:rows_per_shard])
        for split, rows in split_rows(table).items()
        for start in range(0, len(rows), rows_per_shard)
    ]
    facts = {
        "format": "webdataset",
        "images": table.digest(),
        "rows": len(table),
        "rows_per_shard": rows_per_shard,
        "layout": _LAYOUT,
    }
    return TarPlan(facts, len(table), rows_per_shard, tuple(shards))


@dataclass(frozen=True, kw_only=True)
class TarJob(TableJob):
    """A job whose parts are tars.

    Attributes:
        plan: Which images go where.
        names: A name for each of the N images; unique in its split, see ``name_rows``.
    """

    plan: TarPlan
    names: tuple[str, ...]

    def task(self, number: int) -> Task:
        """Return what writes a tar."""
        shard = self.plan.shards[number]
        return TarTask(
            number=number,
            table=self.table.select(shard.rows),
            names=tuple(self.names[row] for row in shard.rows.tolist()),
            first=shard.first,
            path=self.plan.part(self.folder, number),
            job=self.plan.digest,
        )

    def facts(self, number: int) -> TarFacts | None:
        """Read what was written down of a tar, where it has the size that it had then."""
        path = self.plan.part(self.folder, number)
        facts = _read_said(_said(path), self.plan.digest)
        if facts is None or not is_file(path) or path.stat().st_size != facts.n_bytes:
            return None
        return facts

    def verify(self) -> None:
        """Open what was written, and compare labels and splits.

        Raises:
            DataError: An image comes back as another.
        """
        from cliptune.images.writers import require_same

        require_same(self.table, self.folder, "webdataset")


@dataclass(frozen=True)
class TarTask:
    """What a process needs to write a tar.

    Attributes:
        number: Of the shard.
        table: Its n images.
        names: Their names.
        first: Number of the first among the images of its split.
        path: The tar.
        job: Digest of the job.
    """

    number: int
    table: ImageTable
    names: tuple[str, ...]
    first: int
    path: Path
    job: str

    def run(self) -> ShardOutcome:
        """Write the tar, then what is known of it; an error becomes the outcome."""
        began = time.perf_counter()
        try:
            self._write()
        except CliptuneError as error:
            return ShardOutcome(self.number, 0, time.perf_counter() - began, error=str(error))
        return ShardOutcome(self.number, len(self.table), time.perf_counter() - began)

    def _write(self) -> None:
        from cliptune.images.writers.webdataset import write_tar

        started = time.time()
        with atomic_path(self.path) as temporary:
            kinds = write_tar(temporary, self.table, self.names, self.first)
            digest, n_bytes = file_digest(temporary), temporary.stat().st_size
            if changed := changed_since(self.table, started):
                raise DataError(
                    f"{changed[0]!r} changed while it was being written (expected it to stay as "
                    "it is); repeat the command with --retry"
                )
        said = {
            "job": self.job,
            "rows": len(self.table),
            "sha256": digest,
            "n_bytes": n_bytes,
            "kinds": sorted(kinds),
        }
        with atomic_path(_said(self.path)) as temporary:
            temporary.write_text(json.dumps(said) + "\n", encoding="utf-8")


def _said(path: Path) -> Path:
    return path.parent / _SAID / f"{path.name}.json"


def _read_said(path: Path, job: str) -> TarFacts | None:
    """Read what is known of a tar; None where that is absent, broken or of another job."""
    if not is_file(path):
        return None
    try:
        found = read_object(path)
        require_types(found.get("rows"), int, "rows")
        require_types(found.get("n_bytes"), int, "n_bytes")
        require_types(found.get("sha256"), str, "sha256")
        require_types(found.get("kinds"), list[str], "kinds")
    except (RunError, TypeError):
        return None
    if found.get("job") != job:
        return None
    return TarFacts(
        found["rows"], (), found["sha256"], kinds=tuple(found["kinds"]), n_bytes=found["n_bytes"]
    )
