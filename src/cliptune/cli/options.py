"""How the command line reads the options that several commands share.

The options themselves are the library's; here they only get their place on a command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: F401  hints that a subclass inherits are read here
from typing import Annotated, Literal  # noqa: F401  the same

from cyclopts import Parameter

from cliptune.cli.help_pages import further
from cliptune.cli.numbers import whole
from cliptune.system.bounds import MAX_SEED
from cliptune.workflows.options import (
    ComputeOptions,
    DataOptions,
    ShardOptions,
    TemplateOptions,
)

__all__ = [
    "Compute",
    "Dataset",
    "DatasetOptions",
    "ModelName",
    "ModelNames",
    "Output",
    "Shards",
    "SharedShardOptions",
    "ShownDataset",
    "Templates",
]

_FLAT = Parameter(name="*")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(DataOptions):
    """How to read a data set; its number is read strictly."""

    class_level: Annotated[int | None, whole(1)] = None
    """How many levels below DATA the folders of classes are; found by the folders otherwise."""


@dataclass(frozen=True, kw_only=True)
class SharedShardOptions(ShardOptions):
    """Who computes shards; its numbers are read strictly."""

    workers: Annotated[int | None, whole(1)] = None
    """Shards computed at once; as many as cores otherwise."""

    rows_per_shard: Annotated[int | None, whole(1)] = None
    """Images of a shard; 4096 otherwise, 10000 of a tar."""


ShownDataset = Annotated[DatasetOptions, _FLAT]
Dataset = Annotated[DatasetOptions, Parameter(name="*", group=further("How data are read"))]
Compute = Annotated[ComputeOptions, Parameter(name="*", group=further("How the encoder computes"))]
Shards = Annotated[
    SharedShardOptions, Parameter(name="*", group=further("On many processes or machines"))
]
Templates = Annotated[TemplateOptions, _FLAT]

ModelName = Annotated[str, Parameter(alias="-m")]
ModelNames = Annotated[tuple[str, ...], Parameter(alias="-m")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """How results are shown."""

    json: bool = False
    """One JSON object on standard output; progress and messages go to standard error."""

    seed: Annotated[int, whole(0, MAX_SEED)] = 0
    """Seed of everything random."""
