"""Data sets of the Hugging Face hub, through the ``datasets`` library.

It knows how that library gives columns and images, and leaves their meaning to ``labelling``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cliptune.catalog.fetch import require_reachable
from cliptune.errors import InputError, UnavailableError
from cliptune.images.hub_rows import hub_sources
from cliptune.images.labelling import label_all
from cliptune.images.records import (
    Columns,
    Filter,
    LabelledImages,
    Records,
)
from cliptune.images.sources import Source
from cliptune.images.split_words import split_of

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

__all__ = ["dataset_records", "explain_hub", "parse_hub_name", "read_hub"]

_Loaded = TypeVar("_Loaded")
_NAME = re.compile(r"hf:(?P<repository>[\w.-]+(/[\w.-]+)?)(@(?P<config>.+))?", re.ASCII)


def read_hub(name: str, columns: Columns, where: Filter | None) -> LabelledImages:
    """Load ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@CONFIG``, from the cache when there is no network.

    Raises:
        InputError: The name has another form, or the hub has no such data set.
        UnavailableError: The hub cannot be reached within seconds and nothing is cached.
    """
    splits = _load(name, *parse_hub_name(name))
    parts = [(dataset_records(d, s, name), split_of(s) or "") for s, d in splits.items()]
    return label_all(parts, columns, where, name)


def parse_hub_name(name: str) -> tuple[str, str | None]:
    """Return the repository and the configuration of ``hf:OWNER/NAME@CONFIG``.

    Raises:
        InputError: The name has another form.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(f"{name!r} is no hub name; expected hf:OWNER/NAME or hf:OWNER/NAME@CONFIG")
    return found["repository"], found["config"]


def _load(name: str, repository: str, config: str | None) -> DatasetDict:
    from huggingface_hub import constants

    try:
        if constants.HF_HUB_OFFLINE:
            raise UnavailableError("HF_HUB_OFFLINE is set")
        require_reachable(constants.ENDPOINT)
    except UnavailableError as error:
        return _load_cached(name, repository, config, str(error))
    return explain_hub(name, lambda: _load_from_hub(repository, config))


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


def explain_hub(name: str, load: Callable[[], _Loaded]) -> _Loaded:
    """Load something of the hub, and say in one line what went wrong.

    Raises:
        InputError: There is no such data set.
        UnavailableError: It cannot be had.
    """
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
        return [*hub_sources(raw.select_columns([column]), column, split)]

    inner = _inner_columns(raw)

    def read_column(column: str) -> list[Any]:  # Any: a cell as the data set has it
        outer = inner.get(column, column)
        cells = list(raw.select_columns([outer])[:][outer])
        return cells if column not in inner else [cell and cell[column] for cell in cells]

    label_names = {
        column: tuple(feature.names)
        for column, feature in raw.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    columns = [column for column in raw.column_names if column not in inner.values()]
    columns += inner
    return Records(name, tuple(columns), len(raw), read_column, read_sources, label_names)


def _inner_columns(dataset: Dataset) -> dict[str, str]:
    """Return the columns that stand within ``json``, where that library keeps shards' members.

    Of shards that are read here their keys are columns too; one that is also a member of its own,
    such as ``txt``, stays that.
    """
    found = dataset.features.get("json")
    if not isinstance(found, dict):
        return {}
    return {key: "json" for key in found if key not in dataset.features}
