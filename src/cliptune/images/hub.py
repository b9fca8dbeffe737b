"""Data sets of the Hugging Face hub, through the ``datasets`` library.

It knows how that library gives columns and images, and leaves their meaning to ``labelling``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.atomic import os_reason
from cliptune.catalog.fetch import require_reachable
from cliptune.errors import InputError, UnavailableError
from cliptune.images.decode import bad_image
from cliptune.images.labelling import label_all
from cliptune.images.records import (
    Columns,
    Filter,
    LabelledImages,
    Records,
    split_of,
)
from cliptune.images.sources import Source

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

__all__ = ["HubSource", "dataset_records", "read_hub"]

_NAME = re.compile(r"hf:(?P<repository>[\w.-]+(/[\w.-]+)?)(@(?P<config>.+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubSource:
    """One row of a ``datasets`` image column with decoding off.

    Attributes:
        id: Split and row.
        dataset: The rows; the image column alone.
        column: Its name.
        row: Number of the row.
        path: The file that the cell names instead of holding the image, else empty.
        files: The files of the library's cache that hold the rows; empty where memory does.
    """

    id: str
    dataset: Dataset
    column: str
    row: int
    path: str = ""
    files: tuple[str, ...] = ()

    @property
    def location(self) -> str:
        """The file of the image, or the row's id where the image stands in the row."""
        return self.path or self.id

    def read(self) -> bytes:
        """Return the row's image; see ``Source.read``.

        A file is read from the caches of the hub's libraries alone: a cell is a stranger's text.
        """
        if self.path:
            return _read_cached(self.path, self.id)
        cell = self.dataset[self.row][self.column]
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not isinstance(data, bytes):
            raise bad_image(self.id, "the row holds no image")
        return data


def _read_cached(path: str, name: str) -> bytes:
    from datasets import config
    from huggingface_hub import constants

    target = os.path.realpath(path)
    caches = (
        *(config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH),
        *(config.EXTRACTED_DATASETS_PATH, constants.HF_HUB_CACHE),
    )
    if not any(Path(target).is_relative_to(os.path.realpath(cache)) for cache in caches):
        raise bad_image(
            name, f"it names the file {path!r}, which is in no cache of the hub's libraries"
        )
    try:
        return Path(target).read_bytes()
    except OSError as error:
        raise bad_image(name, f"{path!r}: {os_reason(error)}") from error


def read_hub(name: str, columns: Columns, where: Filter | None) -> LabelledImages:
    """Load ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@CONFIG``, from the cache when there is no network.

    Raises:
        InputError: The name has another form, or the hub has no such data set.
        UnavailableError: The hub cannot be reached within seconds and nothing is cached.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(f"{name!r} is no hub name; expected hf:OWNER/NAME or hf:OWNER/NAME@CONFIG")
    splits = _load(name, found["repository"], found["config"])
    parts = [(dataset_records(d, s, name), split_of(s) or "") for s, d in splits.items()]
    return label_all(parts, columns, where, name)


def _load(name: str, repository: str, config: str | None) -> DatasetDict:
    from huggingface_hub import constants

    try:
        if constants.HF_HUB_OFFLINE:
            raise UnavailableError("HF_HUB_OFFLINE is set")
        require_reachable(constants.ENDPOINT)
    except UnavailableError as error:
        return _load_cached(name, repository, config, str(error))
    return _explain(name, lambda: _load_from_hub(repository, config))


def _load_from_hub(repository: str, config: str | None) -> DatasetDict:
    import datasets

    # Of a repository this library reads data only: since 4.0 it runs no script that lies there.
    return datasets.load_dataset(repository, config)


def _load_cached(name: str, repository: str, config: str | None, why: str) -> DatasetDict:
    from datasets.packaged_modules.cache.cache import Cache

    try:
        builder = Cache(
            repo_id=repository,
            dataset_name=repository.rpartition("/")[2],
            config_name=config,
            version="auto",
            hash="auto",
        )
        loaded: DatasetDict = builder.as_dataset()
    except (ValueError, OSError) as error:
        raise UnavailableError(
            f"cannot load {name!r}: {why}, and it is not in the cache of the datasets library; "
            "use a local folder, a manifest or a name from 'cliptune datasets'"
        ) from error
    return loaded


def _explain(name: str, load: Callable[[], DatasetDict]) -> DatasetDict:
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        return load()
    except (DatasetNotFoundError, ValueError) as error:
        raise InputError(f"cannot load {name!r}: {_first_line(error)}") from error
    except (DatasetsError, OSError, RuntimeError) as error:
        raise UnavailableError(f"cannot load {name!r}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def dataset_records(dataset: Dataset, split: str, name: str) -> Records:
    """Describe one split of a ``datasets`` data set; its image columns are not decoded.

    Args:
        dataset: The rows.
        split: Its name, which starts the ids of its rows.
        name: What to call the data set in messages.
    """
    import datasets

    raw = dataset
    for column, feature in dataset.features.items():
        if isinstance(feature, datasets.Image):
            raw = raw.cast_column(column, datasets.Image(decode=False))

    def read_sources(column: str) -> list[Source]:
        feature = raw.features[column]
        if not isinstance(feature, datasets.Image):
            raise InputError(f"column {column!r} of {name!r} holds no images but {feature}")
        images = raw.select_columns([column])
        files = tuple(str(file["filename"]) for file in images.cache_files)
        return [
            HubSource(f"{split}#{row}", images, column, row, path, files)
            for row, path in enumerate(_named_files(images, column))
        ]

    def read_column(column: str) -> list[Any]:  # Any: a cell as the data set has it
        return list(raw.select_columns([column])[:][column])

    label_names = {
        column: tuple(feature.names)
        for column, feature in raw.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    return Records(name, tuple(raw.column_names), len(raw), read_column, read_sources, label_names)


def _named_files(images: Dataset, column: str) -> list[str]:
    """Return for each row the file that its cell names, or nothing where it holds the image."""
    import pyarrow.compute as pc

    cells = images.with_format("arrow")[:].column(column)
    held = pc.is_valid(pc.struct_field(cells, "bytes")).to_pylist()
    if all(held):
        return [""] * len(held)
    named = pc.struct_field(cells, "path").to_pylist()
    return ["" if own else path or "" for own, path in zip(held, named, strict=True)]
