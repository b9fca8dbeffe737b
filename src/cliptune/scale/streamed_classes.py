"""The classes of a streamed job, numbered once all its parts are there.

Whoever embedded a unit knew only its own classes. Here they are put in order: by the numbers that
the data give them where each has one, else by name. It knows parts, and no vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.catalog import known_class_names
from cliptune.images.number_forms import in_class_order
from cliptune.scale.manifest import spoilt_part
from cliptune.scale.streamed_parts import read_streamed_facts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["StreamedClasses"]


@dataclass(frozen=True)
class StreamedClasses:
    """The C classes of a streamed job.

    Attributes:
        written: Their names as the parts have them, in order.
        names: The same, ready for prompts: where they are exactly the labels of a named data
            set, as that one calls them.
    """

    written: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def read(cls, paths: Iterable[Path], job: str) -> StreamedClasses:
        """Read what all parts say of their classes.

        Raises:
            RunError: A part does not say it.
        """
        numbers: dict[str, int | None] = {}
        for path in paths:
            facts = read_streamed_facts(path, job)
            if facts is None or facts.numbers is None:
                raise spoilt_part(path, "it does not say its classes")
            for name, number in facts.numbers.items():
                numbers[name] = number if number is not None else numbers.get(name)
        known = {name: number for name, number in numbers.items() if number is not None}
        written = in_class_order(numbers)
        if len(known) == len(numbers):
            written = tuple(sorted(known, key=known.__getitem__))
        better = known_class_names(written) or {}
        return cls(written, tuple(better.get(name, name) for name in written))

    def columns_to_read(self, columns: Sequence[str]) -> list[str]:
        """Return what to read of a part for these columns: names stand for the numbers."""
        read = ["class_name" if name == "label" else name for name in columns]
        return list(dict.fromkeys(read))

    def number(self, found: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Return the columns that were asked for, ``label`` 0..C-1 and ``class_name`` by it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if "class_name" not in found.schema.names:
            return found
        value_set = pa.array(self.written, pa.string())
        labels = pc.index_in(found.column("class_name"), value_set=value_set, skip_nulls=True)
        made = {
            "label": labels.cast(pa.int64()),
            "class_name": pa.array(self.names, pa.string()).take(labels),
        }
        arrays = [made[name] if name in made else found.column(name) for name in columns]
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))
