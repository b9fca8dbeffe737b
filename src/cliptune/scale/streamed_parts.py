"""Parts of units that were read as they come: written a few thousand rows at a time.

They have the columns of the other parts, and say which unit they are made of and how the data
number its classes. It knows nothing about where units lie.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.scale.parts import (
    CLASS_NAMES,
    PartFacts,
    part_columns,
    part_metadata,
    read_metadata,
)
from cliptune.system.atomic import atomic_path
from cliptune.system.parquet import repeated_columns

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["StreamedFacts", "StreamedPart", "read_streamed_facts"]

_UNIT, _NUMBERS = b"cliptune.unit", b"cliptune.class_numbers"
_ROWS = 4096  # of a group; only so many vectors stand in memory


@dataclass(frozen=True)
class StreamedFacts(PartFacts):
    """What such a part says of itself.

    Attributes:
        unit: Size and version of the unit that it is made of.
        numbers: From the names of its classes to their numbers; None where the data have none.
    """

    unit: tuple[int, str] = (0, "")
    numbers: Mapping[str, int | None] | None = None


@dataclass(frozen=True)
class StreamedPart:
    """A part to be written.

    Attributes:
        path: Its file.
        job: Digest of the job.
        dtype: Of the vectors in the file.
        dim: D, their length.
        unit: Size and version of the unit.
        numbers: Of the C classes of its table, as the data number them; None where nobody says.
    """

    path: Path
    job: str
    dtype: str
    dim: int
    unit: tuple[int, str]
    numbers: Sequence[int | None]

    def write(
        self,
        table: ImageTable,
        batches: Iterable[NDArray[np.float32]],
        skipped: tuple[tuple[str, str], ...],
        check: Callable[[], None],
    ) -> None:
        """Write it, whole or not at all.

        Args:
            table: The unit's readable images, n of them, and its C classes.
            batches: Their embeddings in order, (b, D) each.
            skipped: Images that are left out, and why.
            check: Called when all is written; where it raises, nothing is left.

        Raises:
            UnavailableError: The disk is full or cannot be written.
        """
        import pyarrow.parquet as pq

        codes = table.labels.tolist()
        labels = [self.numbers[c] if c >= 0 else None for c in codes]
        nothing = np.empty((0, self.dim), np.float32)
        empty = part_columns(table.select(np.arange(0)), [], nothing, self.dtype)
        schema = empty.schema.with_metadata(self._said(table, sorted({*codes} - {-1}), skipped))
        with atomic_path(self.path) as temporary:
            texts, done = repeated_columns(schema), 0
            with pq.ParquetWriter(
                temporary, schema, compression="zstd", use_dictionary=texts
            ) as writer:
                for vectors in _in_groups(batches):
                    end = done + len(vectors)
                    rows = table.select(np.arange(done, end))
                    group = part_columns(rows, labels[done:end], vectors, self.dtype)
                    writer.write_table(group.cast(schema))
                    done = end
            check()

    def _said(
        self, table: ImageTable, there: Sequence[int], skipped: tuple[tuple[str, str], ...]
    ) -> dict[bytes, str]:
        return {
            **part_metadata(self.job, skipped, [table.class_names[c] for c in there]),
            _NUMBERS: json.dumps([self.numbers[c] for c in there]),
            _UNIT: json.dumps(self.unit),
        }


def read_streamed_facts(path: Path, job: str) -> StreamedFacts | None:
    """Read what a part says of itself; None where it is absent, broken or of another job."""
    found = read_metadata(path, job)
    if found is None:
        return None
    facts, said = found
    try:
        size, mark = json.loads(said[_UNIT])
        names, numbers = json.loads(said[CLASS_NAMES]), json.loads(said[_NUMBERS])
        of_names = {str(name): n for name, n in zip(names, numbers, strict=True)}
        return StreamedFacts(facts.rows, facts.skipped, "", (int(size), str(mark)), of_names)
    except (KeyError, ValueError, TypeError):
        return None


def _in_groups(batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    waiting: list[NDArray[np.float32]] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= _ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
