"""Images to predict: single files, folders and data sets, in the order that they are named.

It knows nothing about labels: every image comes out unlabelled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cliptune.errors import InputError, UnavailableError
from cliptune.images.sources import FileSource, Source, readable
from cliptune.images.table import ImageTable
from cliptune.images.tree import is_image_name
from cliptune.system.file_kinds import exists, is_file, is_folder

__all__ = ["open_images"]


def open_images(names: Sequence[str]) -> ImageTable:
    """Gather images without labels.

    Args:
        names: Image files, folders (searched to the bottom, whatever their layout), manifests,
            shards, or names of data sets.

    Returns:
        A table whose ids begin with the names as they were given; what is named twice comes
        twice.

    Raises:
        InputError: Nothing was named, or there is nothing of that name.
        DataError: A folder holds no images.
    """
    if not names:
        raise InputError("no image was named; expected image files, folders or data sets")
    sources = [source for name in names for source in _find_images(name)]
    return ImageTable(
        sources=sources,
        labels=np.full(len(sources), -1, dtype=np.int64),
        splits=np.full(len(sources), "", dtype=np.str_),
        class_names=(),
        root=names[0] if len(names) == 1 else f"{len(names)} names",
    )


def _find_images(name: str) -> Iterable[Source]:
    if is_image_name(Path(name).name) and is_file(name):
        return [FileSource(readable(name), name)]
    return _find_others(name)


def _find_others(name: str) -> Iterable[Source]:
    """Find what is no plain image file; the layouts are loaded for that alone."""
    from cliptune.images.manifests import MANIFEST_SUFFIXES
    from cliptune.images.remote import copy_remote, is_remote
    from cliptune.images.shards import is_shard

    if is_remote(name):
        copied = copy_remote(name)
        if is_file(copied) and is_image_name(copied.name):
            return [FileSource(readable(name), str(copied))]
        return [
            FileSource(readable(_join(name, image)), str(copied / image))
            for image in (_list_folder(copied) if is_folder(copied) else ())
        ] or _in_data_set(str(copied))
    path = Path(name)
    if is_file(path) and path.suffix.lower() not in MANIFEST_SUFFIXES and not is_shard(path):
        return [FileSource(readable(name), name)]
    if is_folder(path) and (inside := _list_folder(path)):
        return [FileSource(readable(_join(name, image)), str(path / image)) for image in inside]
    if not exists(path) and is_image_name(path.name):
        raise InputError(f"there is no image file {name!r}; check the path")
    return _in_data_set(name)


def _list_folder(path: Path) -> list[str]:
    from cliptune.images.folders import list_images

    try:
        return list_images(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnavailableError(f"cannot read {str(error.filename or path)!r} ({reason})") from error


def _in_data_set(name: str) -> Iterator[Source]:
    from cliptune.images.asked import Asked
    from cliptune.images.locate import read_data

    parent = os.path.dirname(name) if is_file(name) else name  # noqa: PTH120  keeps "./"
    for source in read_data(name, Asked()).sources:
        fields: Any = source  # Any: every source is a dataclass, which a Protocol cannot say
        yield replace(fields, id=readable(_join(parent, source.id)))


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name
