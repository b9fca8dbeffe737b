"""Images that stand in a column of the ``datasets`` library, or in files that it names.

It knows nothing about labels, or about how a data set comes from the hub.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.images.decode import bad_image
from cliptune.system.atomic import os_reason

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["HubSource", "hub_sources"]


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


def hub_sources(images: Dataset, column: str, split: str) -> list[HubSource]:
    """Describe every row of an image column.

    Args:
        images: The rows, with the column alone and its decoding off.
        column: Its name.
        split: Starts the ids of the rows.
    """
    files = tuple(str(file["filename"]) for file in images.cache_files)
    return [
        HubSource(f"{split}#{row}", images, column, row, path, files)
        for row, path in enumerate(_named_files(images, column))
    ]


def _named_files(images: Dataset, column: str) -> list[str]:
    """Return for each row the file that its cell names, or nothing where it holds the image."""
    import pyarrow.compute as pc

    cells = images.with_format("arrow")[:].column(column)
    held = pc.is_valid(pc.struct_field(cells, "bytes")).to_pylist()
    if all(held):
        return [""] * len(held)
    named = pc.struct_field(cells, "path").to_pylist()
    return ["" if own else path or "" for own, path in zip(held, named, strict=True)]
