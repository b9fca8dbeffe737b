"""Images named one by one, without labels: files, folders and whole data sets in a row.

It knows nothing about classes; labels that a named data set has are left aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cliptune.errors import InputError
from cliptune.images.folders import is_image_name
from cliptune.images.sources import FileSource, Source
from cliptune.images.table import ImageTable

__all__ = ["open_images"]


def open_images(names: Sequence[str]) -> ImageTable:
    """Open images in the order they are named.

    Args:
        names: Image files, or whatever ``ImageTable.open`` takes: then all its images, in its
            order, with ids below that name.

    Raises:
        InputError: Nothing was named, or there is nothing of that name.
        DataError: A folder holds no images.
    """
    if not names:
        raise InputError("no image was named; expected image files, folders or data sets")
    sources = [source for name in names for source in _sources_of(name)]
    return ImageTable(
        sources=sources,
        labels=np.full(len(sources), -1, dtype=np.int64),
        splits=np.full(len(sources), "", dtype=np.str_),
        class_names=(),
        root=names[0] if len(names) == 1 else f"{len(names)} names",
    )


def _sources_of(name: str) -> Sequence[Source]:
    path = Path(name)
    if path.is_file() and is_image_name(path.name):
        return [FileSource(name, name)]
    if not path.exists() and is_image_name(path.name):
        raise InputError(f"there is no image file {name!r}; check the path")
    table = ImageTable.open(name)
    if not path.is_dir():
        return table.sources
    # Within a folder ids are relative; beside other arguments they need the folder's name.
    return [_below(name, source) for source in table.sources]


def _below(folder: str, source: Source) -> Source:
    if isinstance(source, FileSource):
        return replace(source, id=f"{folder.rstrip('/')}/{source.id}")
    return source
