"""What all writers of tables share: names of files, labels as words.

It knows tables, and no formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.sources import Source
from cliptune.images.table import ImageTable
from cliptune.images.tree import is_image_name

__all__ = ["Row", "Writer", "iterate_rows", "require_one_label", "rows_by_split"]

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


def iterate_rows(table: ImageTable) -> Iterator[Row]:
    """Yield the images of a table, one at a time.

    Raises:
        BadImageError: The bytes of one cannot be had.
    """
    taken: set[str] = set()
    for number, source in enumerate(table.sources):
        data = source.read()
        stem, suffix = _name_of(source, data)
        if stem.casefold() in taken:
            stem = f"{stem}-{number}"
        taken.add(stem.casefold())
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


def _name_of(source: Source, data: bytes) -> tuple[str, str]:
    """Return a plain stem and suffix for a file: those of its name, or what its bytes say."""
    name = source.id.rpartition("/")[2]
    stem, _, suffix = name.rpartition(".")
    if not is_image_name(name):
        stem, suffix = name, _kind_of(data)
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-") or "image"
    return plain[:_LONGEST_NAME], suffix.lower()


def _kind_of(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return next((kind for mark, kind in _KINDS if data.startswith(mark)), "png")


def rows_by_split(table: ImageTable) -> dict[str, ImageTable]:
    """Return the parts of a table by split, in the order of learning and measuring."""
    names = ("train", "val", "test", "unlabelled", "")
    return {
        name: table.select(table.splits == name) for name in names if (table.splits == name).any()
    }


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
