"""A job over units that are read as they come: each is listed, read and embedded by its worker.

Whoever plans knows the units' names, sizes and versions, and no image. It knows nothing about
where units lie or how they are read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.errors import CliptuneError, DataError, RunError
from cliptune.scale.job import Job
from cliptune.scale.plan import StreamPlan
from cliptune.scale.shard import EncoderRecipe, embed_table, open_recipe, require_planned
from cliptune.scale.streamed_parts import StreamedFacts, StreamedPart, read_streamed_facts
from cliptune.scale.tasks import ShardOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cliptune.encoders import DualEncoder
    from cliptune.images.names import GivenNames
    from cliptune.images.records import Columns
    from cliptune.images.units import Unit

__all__ = ["StreamJob", "StreamTask"]


@dataclass(frozen=True, kw_only=True)
class StreamJob(Job):
    """A job whose parts are the vectors of one unit each.

    Attributes:
        plan: The units' names, and what embeds.
        units: The units as they are now.
        columns: Which columns of them hold what.
        class_names: Names of classes that the user gave.
        recipe: What embeds.
        threads: That decode within a worker.
    """

    plan: StreamPlan
    units: Sequence[Unit]
    columns: Columns
    class_names: GivenNames | None
    recipe: EncoderRecipe
    threads: int

    def task(self, number: int) -> StreamTask:
        """Return what embeds a unit."""
        return StreamTask(
            number=number,
            unit=self.units[number],
            columns=self.columns,
            class_names=self.class_names,
            path=self.plan.part(self.folder, number),
            recipe=self.recipe,
            job=self.plan.digest,
            dtype=str(self.plan.facts["dtype"]),
            on_bad_image=self.plan.on_bad_image,
            threads=self.threads,
        )

    def facts(self, number: int) -> StreamedFacts | None:
        """Read what a part says of itself.

        Raises:
            RunError: It was made of another version of its unit.
        """
        path, unit = self.plan.part(self.folder, number), self.units[number]
        found = read_streamed_facts(path, self.plan.digest)
        if found is not None and found.unit != (unit.size, unit.mark):
            raise RunError(
                f"{unit.address!r} is another than the one that {str(path)!r} was made of "
                f"({unit.size} bytes, {found.unit[0]} then); embed into a new folder, or remove "
                "this part to have it computed again"
            )
        return found

    def n_images(self, number: int) -> None:
        """Nobody knows."""

    def changed(self, number: int) -> list[str]:
        """Return the unit where it was written to, or went, since this command began."""
        unit = self.units[number]
        return [unit.address] if unit.has_changed() else []

    def verify(self) -> None:
        """Make sure that all units give a class the same number.

        Raises:
            DataError: They do not.
        """
        number_of: dict[str, tuple[int, str]] = {}
        name_of: dict[int, tuple[str, str]] = {}
        for place, unit in enumerate(self.units):
            facts = self.facts(place)
            for name, number in ((facts and facts.numbers) or {}).items():
                if number is None:
                    continue
                known, where = number_of.setdefault(name, (number, unit.name))
                twin, there = name_of.setdefault(number, (name, unit.name))
                if known != number:
                    raise DataError(
                        f"the class {name!r} has the number {known} in {where!r} and {number} in "
                        f"{unit.name!r}; expected the same in each"
                    )
                if twin != name:
                    raise DataError(
                        f"the number {number} is the class {twin!r} in {there!r} and {name!r} in "
                        f"{unit.name!r}; expected the same in each"
                    )


@dataclass(frozen=True)
class StreamTask:
    """What a process needs to read a unit and embed it.

    Attributes:
        number: Of the shard.
        unit: What it reads.
        columns: Which columns hold what.
        class_names: Names of classes that the user gave.
        path: Where its part goes.
        recipe: What embeds.
        job: Digest of the job.
        dtype: Of the vectors in the file.
        on_bad_image: ``fail`` or ``skip``.
        threads: That decode.
    """

    number: int
    unit: Unit
    columns: Columns
    class_names: GivenNames | None
    path: Path
    recipe: EncoderRecipe
    job: str
    dtype: str
    on_bad_image: Literal["fail", "skip"]
    threads: int

    def run(self) -> ShardOutcome:
        """Read the unit, embed it and write its part; an error becomes the outcome."""
        began = time.perf_counter()
        try:
            encoder = open_recipe(self.recipe)
            require_planned(encoder, self.recipe)
            began = time.perf_counter()
            ended = self._embed(encoder)
        except CliptuneError as error:
            return ShardOutcome(self.number, 0, time.perf_counter() - began, error=str(error))
        return replace(ended, number=self.number, seconds=time.perf_counter() - began)

    def _embed(self, encoder: DualEncoder) -> ShardOutcome:
        from cliptune.images.unit_table import make_unit_table

        with self.unit.images(self.columns) as images:
            made = make_unit_table(images, self.class_names, self.unit.address)
            part = StreamedPart(
                self.path, self.job, self.dtype, encoder.dim, (self.unit.size, self.unit.mark),
                made.numbers,
            )  # fmt: skip
            return embed_table(
                made.table, encoder, self.recipe,
                lambda table, batches, skipped: part.write(
                    table, batches, skipped, self.unit.require_same
                ),
                on_bad_image=self.on_bad_image, threads=self.threads,
            )  # fmt: skip
