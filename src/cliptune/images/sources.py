"""Where one image's bytes come from: a file, or a stretch of a tar archive.

It knows nothing about labels or decoding. Sources hold no open files, so that they can be
sent to other processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cliptune.file_kinds import read_regular
from cliptune.images.decode import bad_image

__all__ = ["FileSource", "Source", "TarSource", "readable"]


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
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise bad_image(self.location, error.strerror or type(error).__name__) from error
        if len(data) != self.size:
            raise bad_image(self.location, f"{self.path!r} ends before it")
        return data
