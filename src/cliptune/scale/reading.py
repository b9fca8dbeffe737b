"""The rows of a finished job in batches: a few at a time, however many there are.

Batches are copied out of Arrow's memory, which is given back after each part. It knows nothing
about what is done with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import RunError
from cliptune.scale.manifest import JobPart, read_manifest, require_unaltered, spoilt_part
from cliptune.scale.plan import Plan, StreamPlan, read_plan
from cliptune.scale.streamed_classes import StreamedClasses

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["JobRows", "RowBatch", "part_vectors"]

_ROWS = 8192  # of a batch
_BYTES = 16 << 20  # of its vectors, at most
_BUFFER = 1 << 20  # bytes that are read from a file at once


@dataclass(frozen=True)
class RowBatch:
    """Rows of one part that follow each other.

    Attributes:
        part: Number of the part.
        start: Number of the first row among all rows of the job.
        columns: What was asked for, n rows.
    """

    part: int
    start: int
    columns: pa.RecordBatch

    def __len__(self) -> int:
        """Rows."""
        return int(self.columns.num_rows)


@dataclass
class JobRows:
    """The rows of a finished job, read as often as one likes.

    Every part is compared with its digest at the first reading of it; later ones see that its
    file was not written to since.

    Attributes:
        folder: Of the job.
        plan: Which job it is.
        parts: Its parts, in order.
    """

    folder: Path
    plan: Plan
    parts: tuple[JobPart, ...]
    _seen: dict[int, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, folder: Path) -> JobRows:
        """Open a finished job.

        Raises:
            RunError: There is none, or it is not finished or broken.
        """
        plan, manifest = read_plan(folder), read_manifest(folder)
        return cls(folder, plan, tuple(JobPart(**part) for part in manifest["parts"]))

    @property
    def n_rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def data_digest(self) -> str:
        """What the rows are of: the images of the plan, or where nobody listed them, the parts."""
        images = self.plan.facts.get("images")
        digests = "".join(part.sha256 for part in self.parts)
        return str(images) if images else sha256(digests.encode()).hexdigest()

    @cached_property
    def _streamed(self) -> StreamedClasses | None:
        if not isinstance(self.plan, StreamPlan):
            return None
        return StreamedClasses.read(
            (self.folder / part.file for part in self.parts), self.plan.digest
        )

    def class_names(self) -> tuple[str, ...]:
        """Return the names that the labels of the rows number.

        Raises:
            RunError: A part says other names than the first, or none.
        """
        if self._streamed is not None:
            return self._streamed.names
        import pyarrow as pa
        import pyarrow.parquet as pq

        names: tuple[str, ...] | None = None
        for part in self.parts:
            path = self.folder / part.file
            try:
                said = pq.read_metadata(path).metadata or {}
                found = json.loads(said[b"cliptune.class_names"])
            except (OSError, pa.ArrowException, KeyError, ValueError) as error:
                raise spoilt_part(path, f"it does not say its classes: {error}") from error
            if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
                raise spoilt_part(path, "its classes are no list of names")
            if names is not None and tuple(found) != names:
                raise spoilt_part(path, "its classes are others than the first part's")
            names = tuple(found)
        return names or ()

    def batches(
        self, columns: Sequence[str], *, parts: Iterable[int] | None = None
    ) -> Iterator[RowBatch]:
        """Give rows in their order; labels of a streamed job are numbered here.

        Args:
            columns: Which columns.
            parts: Numbers of the parts to read; all otherwise.

        Raises:
            RunError: A part is missing, was altered or holds something else.
        """
        wanted = None if parts is None else set(parts)
        start = 0
        for number, part in enumerate(self.parts):
            if wanted is None or number in wanted:
                yield from self._part(number, start, columns)
            start += part.rows

    def _part(self, number: int, start: int, columns: Sequence[str]) -> Iterator[RowBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        part, done = self.parts[number], 0
        path = self.folder / part.file
        self._require_same(number, path)
        streamed = self._streamed
        wanted = list(columns) if streamed is None else streamed.columns_to_read(columns)
        try:
            with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
                if not set(wanted) <= set(file.schema_arrow.names):
                    raise spoilt_part(path, f"it has the columns {file.schema_arrow.names}")
                n = _batch_rows(file.schema_arrow, columns)
                for found in file.iter_batches(n, columns=wanted):
                    if streamed is not None:
                        found = streamed.number(found, columns)
                    yield RowBatch(number, start + done, found)
                    done += found.num_rows
        except (OSError, pa.ArrowException) as error:
            raise spoilt_part(path, str(error)) from error
        if done != part.rows:
            raise spoilt_part(path, f"it holds {done} rows")
        pa.default_memory_pool().release_unused()

    def _require_same(self, number: int, path: Path) -> None:
        try:
            status = path.stat()
        except OSError as error:
            raise spoilt_part(path, str(error.strerror)) from error
        now = (status.st_size, status.st_mtime_ns)
        if number not in self._seen:
            require_unaltered(path, self.parts[number].sha256)
            self._seen[number] = now
        if self._seen[number] != now:
            raise RunError(f"the part {str(path)!r} was written to meanwhile; start again")


def _batch_rows(schema: pa.Schema, columns: Sequence[str]) -> int:
    length = getattr(schema.field("vector").type, "list_size", 1) if "vector" in columns else 1
    return max(1, min(_ROWS, _BYTES // (4 * max(length, 1))))


def part_vectors(column: pa.Array, path: Path) -> NDArray[np.float32]:
    """Return the vectors of a column of a part, float32 (n, D).

    Raises:
        RunError: They are no vectors of finite numbers.
    """
    import pyarrow as pa

    if not pa.types.is_fixed_size_list(column.type) or not pa.types.is_floating(
        column.type.value_type
    ):
        raise spoilt_part(path, f"its vectors are {column.type}")
    flat: NDArray[np.float32] = np.array(  # a copy, so that Arrow's memory goes with its batch
        column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32
    )
    if flat.size != len(column) * column.type.list_size or not np.isfinite(flat).all():
        raise spoilt_part(path, "its vectors hold something else than numbers")
    return flat.reshape(len(column), -1)
