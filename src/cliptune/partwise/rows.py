"""Vectors and labels of the rows of some roles, batch by batch.

It knows roles and parts, and no method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.partwise.roles import Role, Roles
from cliptune.scale.manifest import spoilt_part
from cliptune.scale.reading import JobRows, part_vectors

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LabelledRows", "PartRows"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelledRows:
    """A batch.

    Attributes:
        vectors: float32 (n, D).
        labels: int64 (n,), 0..C-1.
        roles: uint8 (n,).
        columns: What else was asked for, n rows.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    roles: NDArray[np.uint8]
    columns: pa.RecordBatch


@dataclass
class PartRows:
    """The labelled rows of a job.

    Attributes:
        job: Its parts.
        roles: What each row is for.
        dim: D, which the encoder says.
        passes: How often vectors were read so far.
    """

    job: JobRows
    roles: Roles
    dim: int
    passes: int = 0

    def batches(
        self,
        roles: Sequence[Role],
        *,
        columns: Sequence[str] = (),
        progress: Progress = lambda done, total: None,
    ) -> Iterator[LabelledRows]:
        """Read the rows of some roles once, in order; classes that are not learned are left out.

        Args:
            roles: Which.
            columns: What else to read of them.
            progress: Called with rows read and rows to read.

        Raises:
            RunError: A part cannot be read, was altered or has vectors of another length.
        """
        import pyarrow as pa

        self.passes += 1
        job, of = self.job, self.roles.of
        wanted = np.isin(np.arange(len(Role)), roles)
        ends = np.cumsum([part.rows for part in job.parts])
        parts = [
            number
            for number, end in enumerate(ends.tolist())
            if wanted[of[end - job.parts[number].rows : end]].any()
        ]
        total, done = sum(job.parts[number].rows for number in parts), 0
        progress(0, total)
        for batch in job.batches([*columns, "label", "vector"], parts=parts):
            own = of[batch.start : batch.start + len(batch)]
            path = job.folder / job.parts[batch.part].file
            vectors = part_vectors(batch.columns.column("vector"), path)
            if vectors.shape[1] != self.dim:
                raise spoilt_part(path, f"its vectors have {vectors.shape[1]} numbers")
            labels = np.asarray(batch.columns.column("label").fill_null(-1), np.int64)
            kept = wanted[own] & (labels >= 0)
            kept[kept] = self.roles.number_of[labels[kept]] >= 0
            done += len(batch)
            if kept.any():
                others = batch.columns.select(list(columns)).filter(pa.array(kept))
                numbers = self.roles.number_of[labels[kept]]
                vectors = vectors if kept.all() else vectors[kept]
                yield LabelledRows(vectors, numbers, own[kept], others)
            progress(done, total)
