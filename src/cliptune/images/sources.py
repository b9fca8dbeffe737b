"""Where one image's bytes come from: a file, or a stretch of a tar archive.

It knows nothing about labels or decoding. Sources hold no open files, so that they can be
sent to other processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np

from cliptune.images.decode import bad_image
from cliptune.system.file_kinds import read_regular

__all__ = [
    "FileSource",
    "FileSources",
    "Source",
    "StretchSource",
    "TarSource",
    "readable",
    "take",
]


def readable(name: str) -> str:
    """Return a file's name as an id: bytes that are no UTF-8 are written out."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which no file system gave
        raw = name.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


class Source(Protocol):
    """One image that has not been read yet.

    Attributes:
        id: Unique in its table and the same on every machine.
        location: Where a person finds it, for messages.
    """

    @property
    def id(self) -> str: ...  # noqa: D102  described above
    @property
    def location(self) -> str: ...  # noqa: D102

    def read(self) -> bytes:
        """Return the encoded image.

        Raises:
            BadImageError: The bytes cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of its own."""

    id: str
    path: str

    @property
    def location(self) -> str:
        """The file's path."""
        return self.path

    def read(self) -> bytes:
        """Return the file's bytes; see ``Source.read``."""
        try:
            return read_regular(self.path)
        except OSError as error:
            raise bad_image(self.path, error.strerror or type(error).__name__) from error


class FileSources(Sequence["Source"]):
    """Files of one tree, kept as names; a ``FileSource`` is made for each that is asked for.

    Half a million files would otherwise take two paths and an object each.

    Args:
        root: The tree.
        folders: Their folders relative to it, each with the names of its files.
    """

    def __init__(self, root: str, folders: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.root = root
        self._folders = [(f"{path}/" if path else "", names) for path, names in folders]
        self._ends = np.cumsum([len(names) for _, names in folders], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, row: int) -> Source: ...

    @overload
    def __getitem__(self, row: slice) -> list[Source]: ...

    def __getitem__(self, row: int | slice) -> Source | list[Source]:
        if isinstance(row, slice):
            return [self[r] for r in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row = row % len(self)
        place = int(np.searchsorted(self._ends, row, side="right"))
        prefix, names = self._folders[place]
        return self._source(prefix, names[row - (int(self._ends[place - 1]) if place else 0)])

    def __iter__(self) -> Iterator[Source]:
        for prefix, names in self._folders:
            for name in names:
                yield self._source(prefix, name)

    def paths(self) -> Iterator[str]:
        """Yield the paths of the files relative to the tree."""
        for prefix, names in self._folders:
            for name in names:
                yield prefix + name

    def take(self, rows: Sequence[int]) -> FileSources:
        """Return these files, in the order of ``rows``."""
        folders: list[tuple[str, list[str]]] = []
        last = -1
        places = np.searchsorted(self._ends, np.asarray(rows, dtype=np.int64), side="right")
        starts = np.concatenate([[0], self._ends])
        for row, place in zip(rows, places.tolist(), strict=True):
            prefix, names = self._folders[place]
            if place != last:
                folders.append((prefix.rstrip("/"), []))
                last = place
            folders[-1][1].append(names[row - int(starts[place])])
        return FileSources(self.root, folders)

    def _source(self, prefix: str, name: str) -> FileSource:
        path = prefix + name
        return FileSource(path if path.isascii() else readable(path), f"{self.root}/{path}")


def take(sources: Sequence[Source], rows: Sequence[int]) -> Sequence[Source]:
    """Return some of a table's images, in the order of ``rows``."""
    return sources.take(rows) if isinstance(sources, FileSources) else [sources[r] for r in rows]


@dataclass(frozen=True, slots=True)
class TarSource:
    """A member of an uncompressed tar archive, ``size`` bytes from ``offset`` on."""

    id: str
    path: str
    member: str
    offset: int
    size: int

    @property
    def location(self) -> str:
        """The archive's path and the member's name."""
        return f"{self.path}/{self.member}"

    def read(self) -> bytes:
        """Return the member's bytes; see ``Source.read``."""
        return _read_stretch(self.path, self.offset, self.size, self.location)


@dataclass(frozen=True, slots=True)
class StretchSource:
    """An image in a file that only lies here for a while, ``size`` bytes from ``offset`` on.

    Attributes:
        id: See ``Source``.
        location: Where the image came from.
        path: The file.
        offset: Where in it.
        size: How long it is.
        lacks: Why there are no bytes; empty where there are.
    """

    id: str
    location: str
    path: str
    offset: int
    size: int
    lacks: str = ""

    def read(self) -> bytes:
        """Return the image's bytes; see ``Source.read``."""
        if self.lacks:
            raise bad_image(self.location, self.lacks)
        return _read_stretch(self.path, self.offset, self.size, self.location)


def _read_stretch(path: str, offset: int, size: int, location: str) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise bad_image(location, error.strerror or type(error).__name__) from error
    if len(data) != size:
        raise bad_image(location, f"{path!r} ends before it")
    return data
