"""What all writers of tables share: names of files, labels as words.

It knows tables, and no formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError
from cliptune.images.sources import Source
from cliptune.images.table import ImageTable
from cliptune.images.tree import is_image_name

__all__ = [
    "Row",
    "Writer",
    "iterate_rows",
    "name_rows",
    "require_one_label",
    "rows_by_split",
    "split_rows",
]

_KINDS = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
    (b"\0\0\0\x0cjP  ", "jp2"),
)
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Writer:
    """A format.

    Attributes:
        name: What the user calls it.
        about: What it is, in a few words.
        write: Fills a folder from a table; returns what the format cannot hold.
    """

    name: str
    about: str
    write: Callable[[ImageTable, Path], tuple[str, ...]]


@dataclass(frozen=True)
class Row:
    """One image as it is written.

    Attributes:
        data: Its bytes.
        name: A name for its file, unique in the table.
        suffix: Of the file, without a dot.
        split: Its split.
        labels: Its labels as words; nothing where none is known.
        captions: Its captions.
        group: What it belongs with.
    """

    data: bytes
    name: str
    suffix: str
    split: str
    labels: tuple[str, ...] | None
    captions: tuple[str, ...]
    group: str

    @property
    def label(self) -> str | None:
        """The one label of an image that has one."""
        return self.labels[0] if self.labels else None


def name_rows(table: ImageTable) -> Iterator[str]:
    """Yield a name for each image of a table, without suffix, unique in it; no image is read."""
    taken: set[str] = set()
    for number, source in enumerate(table.sources):
        stem = _stem_of(source)
        if stem.casefold() in taken:
            stem = f"{stem}-{number}"
        taken.add(stem.casefold())
        yield stem


def iterate_rows(table: ImageTable, names: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the images of a table, one at a time.

    Args:
        table: N images.
        names: N names, where the table is a part of one that ``name_rows`` named.

    Raises:
        BadImageError: The bytes of one cannot be had.
    """
    stems = name_rows(table) if names is None else names
    for number, (source, stem) in enumerate(zip(table.sources, stems, strict=True)):
        data = source.read()
        suffix = _suffix_of(source, data)
        code = int(table.labels[number])
        codes: tuple[int, ...] | None = (code,) if code >= 0 else None
        if table.label_sets is not None:
            codes = table.label_sets[number]
        yield Row(
            data=data,
            name=f"{stem}.{suffix}",
            suffix=suffix,
            split=str(table.splits[number]),
            labels=None if codes is None else tuple(table.class_names[c] for c in codes),
            captions=() if table.captions is None else table.captions[number],
            group="" if table.groups is None else str(table.groups[number]),
        )


def _stem_of(source: Source) -> str:
    """Return a plain stem for a file."""
    name = source.id.rpartition("/")[2]
    stem = name.rpartition(".")[0] if is_image_name(name) else name
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-") or "image"
    return plain[:_LONGEST_NAME]


def _suffix_of(source: Source, data: bytes) -> str:
    """Return a suffix for a file: that of its name, or what its bytes say."""
    name = source.id.rpartition("/")[2]
    return (name.rpartition(".")[2] if is_image_name(name) else _kind_of(data)).lower()


def _kind_of(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return next((kind for mark, kind in _KINDS if data.startswith(mark)), "png")


def rows_by_split(table: ImageTable) -> dict[str, ImageTable]:
    """Return the parts of a table by split, in the order of learning and measuring."""
    return {name: table.select(rows) for name, rows in split_rows(table).items()}


def split_rows(table: ImageTable) -> dict[str, NDArray[np.int64]]:
    """Return the numbers of a table's rows by split, in the order of learning and measuring."""
    names = ("train", "val", "test", "unlabelled", "")
    found = {name: np.flatnonzero(table.splits == name) for name in names}
    return {name: rows for name, rows in found.items() if len(rows)}


def require_one_label(table: ImageTable, form: str) -> None:
    """Make sure that images have one label at most.

    Raises:
        DataError: They may have several.
    """
    if table.label_sets is not None:
        raise DataError(
            f"{form} holds one label an image, but images of {table.root!r} may have several; take "
            "csv, webdataset, parquet, labelstudio, fiftyone or hf"
        )
