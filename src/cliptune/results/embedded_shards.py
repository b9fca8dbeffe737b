"""What ``embed`` gives where shards are computed by an executor, and what ``search`` finds.

It knows nothing about models or files.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.features.guard import RowsChecked
from cliptune.results.base import Result, Unreadable
from cliptune.system.formatting import count, decimal, duration, size
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["EmbedShardsResult", "FailedShard", "Found", "IndexResult", "SearchResult"]


@dataclass(frozen=True)
class FailedShard:
    """A shard without a part.

    Attributes:
        shard: Its number, from 0.
        reason: What went wrong; an image of it is named.
    """

    shard: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class EmbedShardsResult(Result):
    """Where an embedding job stands.

    Attributes:
        data: The data set, as it was named.
        model: The encoder.
        engine: What ran it.
        precision: What it computed in.
        executor: ``local`` or ``ray``.
        workers: How many computed at once.
        out: Folder of the parts and the manifest.
        rows: Rows of all parts that are there.
        shards: How many there are in all.
        failed: How many of them have no part because of an error.
        failures: Which, and why.
        missing: Shards that other processes of the job still owe.
        images_computed: Rows of the parts that this call computed.
        images_per_second: Of these, over the whole call; None where there are none.
        rows_checked: Rows that were computed twice.
        unreadable: Images that were left out.
        changed: Images or archives that were written to after their part.
        seconds: All of it.
    """

    data: str
    model: str
    engine: str
    precision: str
    executor: str
    workers: int
    out: str
    rows: int
    shards: int
    failed: int
    failures: tuple[FailedShard, ...]
    missing: int
    images_computed: int
    images_per_second: float | None
    rows_checked: RowsChecked
    unreadable: tuple[Unreadable, ...]
    changed: tuple[str, ...]
    seconds: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return a sentence, and a table of what failed."""
        state = "" if self.failed or self.missing else ", all there"
        speed = self.images_per_second
        new = f"{count(self.images_computed)} of them new"
        rate = "" if speed is None else f" at {speed:.0f} images/s"
        shown: list[Shown] = [
            f"{count(self.rows)} vectors from {self.model} in {self.shards} parts{state}, {new}"
            f"{rate}, in {duration(self.seconds)} with {self.workers} {self.executor} workers: "
            f"{self.out}"
        ]
        if self.missing:
            shown.append(f"{self.missing} parts are owed by other processes of the job")
        if self.changed:
            shown.append(
                f"{len(self.changed)} images or archives were written to after their part, such "
                f"as {self.changed[0]}; embed into a new folder to see them as they are"
            )
        if self.failures:
            rows = [(str(one.shard), one.reason) for one in self.failures]
            shown.append(
                TextTable.of("failed; --retry computes them again", ("shard", "why"), rows)
            )
        return tuple(shown)


@dataclass(frozen=True, kw_only=True)
class IndexResult(Result):
    """An index over the vectors of a job.

    Attributes:
        file: The index.
        rows: Vectors in it.
        dim: Their length.
        n_bytes: Size of the file.
        seconds: What building took.
    """

    file: str
    rows: int
    dim: int
    n_bytes: int
    seconds: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return one sentence."""
        return (
            f"index over {count(self.rows)} vectors of {self.dim} dimensions, "
            f"{size(self.n_bytes)}, in {duration(self.seconds)}: {self.file}",
        )


@dataclass(frozen=True)
class Found:
    """An image near a query.

    Attributes:
        id: Its id.
        path: Where it lies.
        class_name: Its class, where one is known.
        similarity: Cosine with the query.
    """

    id: str
    path: str
    class_name: str | None
    similarity: float


@dataclass(frozen=True, kw_only=True)
class SearchResult(Result):
    """The images nearest to a text or an image.

    Attributes:
        query: The text, or the path of the image.
        kind: ``text`` or ``image``.
        model: The encoder.
        found: The nearest first.
        seconds: Of the search alone.
    """

    query: str
    kind: str
    model: str
    found: tuple[Found, ...]
    seconds: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return a table."""
        rows = [(one.path, one.class_name or "", decimal(one.similarity)) for one in self.found]
        title = f"nearest to {self.query} ({self.kind}, {self.model})"
        return (TextTable.of(title, ("image", "class", "cosine"), rows),)
