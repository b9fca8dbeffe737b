"""A unit of a data set that is read as it comes: a tar, which becomes one shard of a job.

Who reads it fetches it first, if it lies elsewhere. Which units there are, it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cliptune.errors import CliptuneError, DataError, InputError, UnavailableError
from cliptune.images.archives import holds_class_folders, read_tar_tree
from cliptune.images.asked import Asked
from cliptune.images.labelling import label_images
from cliptune.images.records import Columns, LabelledImages, settle_lists
from cliptune.images.remote import fetch_object, is_remote, stat_remote
from cliptune.images.shards import read_shard
from cliptune.images.sources import StretchSource, TarSource
from cliptune.images.spool import spool_folder
from cliptune.images.table_search import split_of_file
from cliptune.system.atomic import os_reason
from cliptune.system.redaction import hide_passwords

__all__ = ["TarUnit", "Unit", "move_sources", "named_as", "read_tar", "size_and_mark"]


class Unit(Protocol):
    """A stretch of a data set that is read from its beginning to its end, by whoever embeds it.

    Attributes:
        name: Unique in the data set and the same on every machine.
        address: Where it lies, for messages.
        size: In bytes.
        mark: What changes when it does: a modification time, or a version.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  described above
    @property
    def address(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def mark(self) -> str: ...  # noqa: D102

    def require_same(self) -> None:
        """Make sure that it is still what it was when it was found.

        Raises:
            DataError: It was written to.
            UnavailableError: It is gone, or cannot be reached.
        """
        ...

    def has_changed(self) -> bool:
        """Tell whether it was written to since it was found, where that can be told at once."""
        ...

    def images(self, columns: Columns) -> AbstractContextManager[LabelledImages]:
        """Give its images, with the labels that it has for them, as long as the block lasts.

        Args:
            columns: Which columns hold what; found by the usual names otherwise.

        Raises:
            CliptuneError: It cannot be fetched, is damaged, or contradicts itself.
        """
        ...


@dataclass(frozen=True, slots=True)
class TarUnit:
    """A tar, here or on a store of objects.

    Attributes:
        name: Its path relative to the data set's folder.
        root: That folder, or its address.
        address: The tar's own path or address.
        size: In bytes.
        mark: Its modification time in nanoseconds, or what the store calls its version.
        alone: It was named itself, and may hold class folders instead of samples.
    """

    name: str
    root: str
    address: str
    size: int
    mark: str
    alone: bool = False

    def require_same(self) -> None:
        """See ``Unit.require_same``."""
        size, mark = self._now()
        if (size, mark) != (self.size, self.mark):
            raise DataError(
                f"{hide_passwords(self.address)!r} was written to since the command began "
                f"({self.size} bytes then, {size} now; expected it to stay as it is); repeat the "
                "command with --retry"
            )

    def has_changed(self) -> bool:
        """See ``Unit.has_changed``; a store is not asked again."""
        try:
            return not is_remote(self.address) and self._now() != (self.size, self.mark)
        except UnavailableError:
            return True

    def _now(self) -> tuple[int, str]:
        if is_remote(self.address):
            try:
                found = stat_remote([self.address])[0]
            except InputError as error:
                raise UnavailableError(
                    f"{hide_passwords(self.address)!r} is not there any more; put it back, or "
                    "embed into a new folder"
                ) from error
            return found.size, found.version
        return size_and_mark(Path(self.address))

    @contextmanager
    def images(self, columns: Columns) -> Iterator[LabelledImages]:
        """See ``Unit.images``; a tar that lies elsewhere is here as long as the block lasts."""
        self.require_same()
        if not is_remote(self.address):
            yield self._read(Path(self.address), Path(self.root), columns)
            return
        with spool_folder() as folder:
            target = folder / self.name
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch_object(self.address, target)
            if (found := target.stat().st_size) != self.size:
                raise UnavailableError(
                    f"{found} of the {self.size} bytes of {hide_passwords(self.address)!r} came; "
                    "repeat the command with --retry"
                )
            with named_as(folder, hide_passwords(self.root)):
                images = self._read(target, folder, columns)
            yield move_sources(images, hide_passwords(self.address))

    def _read(self, path: Path, root: Path, columns: Columns) -> LabelledImages:
        if self.alone and holds_class_folders(path):
            return read_tar_tree(path, Asked(columns))
        return read_tar(path, root, columns, split_of_file(path, root))


def read_tar(path: Path, root: Path, columns: Columns, split: str) -> LabelledImages:
    """Read the samples of a tar here.

    Args:
        path: The tar.
        root: The folder that ids are relative to.
        columns: Which columns hold what.
        split: Of samples that name none.

    Raises:
        DataError: It is damaged, holds no images, or contradicts itself.
    """
    image = columns.image if columns.image != "image" else None
    records = read_shard(path, root, image)
    return settle_lists([label_images(records, replace(columns, image="image"), split)])[0]


def move_sources(images: LabelledImages, address: str) -> LabelledImages:
    """Say of images in a tar that lies here for a while where the tar came from."""
    sources = []
    for source in images.sources:
        assert isinstance(source, TarSource), "all readers of tars give these"
        place = f"{address}/{source.member}"
        sources.append(StretchSource(source.id, place, source.path, source.offset, source.size))
    return replace(images, sources=sources)


@contextmanager
def named_as(folder: Path, address: str) -> Iterator[None]:
    """Let messages about files in a folder name the place that they came from."""
    try:
        yield
    except CliptuneError as error:
        raise type(error)(str(error).replace(str(folder), address)) from error


def size_and_mark(path: Path) -> tuple[int, str]:
    """Return the size of a file here, and the time of its writing.

    Raises:
        UnavailableError: It is gone, or cannot be reached.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{str(path)!r} is not there any more; put it back, or embed into a new folder"
        ) from error
    except OSError as error:
        raise UnavailableError(f"cannot read {str(path)!r} ({os_reason(error)})") from error
    return status.st_size, str(status.st_mtime_ns)
