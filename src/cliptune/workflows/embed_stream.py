"""Which units a job streams, and what may be asked of data that nobody lists.

It knows options and kinds of data, and nothing about embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from cliptune.errors import InputError
from cliptune.system.formatting import size
from cliptune.workflows.options import ComputeOptions, DataOptions, ShardOptions

if TYPE_CHECKING:
    from cliptune.images.names import GivenNames
    from cliptune.images.records import Columns
    from cliptune.images.units import Unit
    from cliptune.workflows.dataset import Data

__all__ = ["Streamed", "find_stream", "refuse_beyond_stream"]

_CAN = ("image_column", "label_column", "caption_column", "class_names", "on_bad_image")
_GIGABYTE = 10**9


@dataclass(frozen=True)
class Streamed:
    """What is streamed, and how it is read.

    Attributes:
        units: In their order.
        columns: Which columns hold what.
        class_names: Names that the user gave.
    """

    units: tuple[Unit, ...]
    columns: Columns
    class_names: GivenNames | None

    @property
    def names(self) -> list[str]:
        """The names of the units."""
        return [unit.name for unit in self.units]

    @property
    def reading(self) -> dict[str, Any]:  # Any: plain JSON values
        """What decides how a unit is read, as plain JSON values."""
        given = self.class_names
        names = dict(given) if isinstance(given, Mapping) else given and list(given)
        return {**vars(self.columns), "class_names": names}

    @property
    def sentence(self) -> str:
        """Say what was found, in a line."""
        n, n_bytes = len(self.units), sum(unit.size for unit in self.units)
        what = "unit" if n == 1 else "units"
        return f"streaming {n} {what}, {size(n_bytes)}: {', '.join(self.names[:3])}" + (
            f", ... {self.names[-1]}" if n > 3 else ""
        )

    @property
    def is_large(self) -> bool:
        """Whether it is a gigabyte or more, about ten thousand photographs."""
        return sum(unit.size for unit in self.units) >= _GIGABYTE


def refuse_beyond_stream(
    data: Data, shards: ShardOptions, dataset: DataOptions, compute: ComputeOptions
) -> None:
    """Make sure that nothing is asked for that takes all images to be listed first.

    Raises:
        InputError: Something is.
    """
    from cliptune.images import ImageTable

    if isinstance(data, ImageTable):
        raise InputError(
            "--stream came with images that are listed already; give their tars, or leave it out"
        )
    if shards.rows_per_shard is not None:
        raise InputError(
            f"--rows-per-shard {shards.rows_per_shard} came with --stream, where a tar is a "
            "shard; leave one of them out"
        )
    if compute.precision == "int8":
        raise InputError(
            "--precision int8 came with --stream; it is quantised on images, and none is read "
            "before workers do: take another, or leave --stream out"
        )
    usual = DataOptions()
    can = (*_CAN, "split") if str(data).startswith("hf:") else _CAN
    for field in fields(DataOptions):
        if field.name in can or getattr(dataset, field.name) == getattr(usual, field.name):
            continue
        option = f"--{field.name.replace('_', '-')}"
        raise InputError(
            f"{option} came with --stream, and it takes all images to be listed first; name the "
            "tars that are meant, such as 'train-{000..146}.tar', or leave --stream out"
        )


def find_stream(data: str, dataset: DataOptions) -> Streamed:
    """Find the units of a data set; none is opened.

    Raises:
        CliptuneError: There is nothing of this name that can be streamed, or it cannot be reached.
    """
    from cliptune.images.names import read_class_names
    from cliptune.images.records import Columns

    columns = Columns(dataset.image_column, dataset.label_column, dataset.caption_column)
    given = None if dataset.class_names is None else read_class_names(dataset.class_names)
    if data.startswith("hf:"):
        from cliptune.images.hub_units import find_hub_units

        return Streamed(find_hub_units(data, dataset.split), columns, given)
    from cliptune.images.find_units import find_units

    return Streamed(find_units(data), columns, given)
