"""Units of a data set that is read as it comes: tars, each of which becomes one shard of a job.

It knows where tars lie and how one is read; nobody lists what is in all of them. Who asks for the
units learns names, sizes and versions; who reads one fetches it first, if it lies elsewhere.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from cliptune.errors import CliptuneError, DataError, InputError, UnavailableError
from cliptune.images.archives import holds_class_folders, read_tar_tree
from cliptune.images.asked import Asked
from cliptune.images.labelling import label_images
from cliptune.images.records import Columns, LabelledImages, settle_lists
from cliptune.images.remote import (
    RemoteObject,
    fetch_object,
    is_remote,
    list_remote,
    stat_remote,
)
from cliptune.images.shards import (
    COMPRESSED,
    expand_braces,
    expand_names,
    find_shards,
    is_shard,
    read_shard,
    root_of,
)
from cliptune.images.sources import StretchSource, TarSource
from cliptune.images.spool import spool_folder
from cliptune.images.table_search import split_of_file
from cliptune.system.atomic import os_reason
from cliptune.system.redaction import hide_passwords

__all__ = ["TarUnit", "Unit", "find_tar_units", "move_sources", "named_as", "read_tar"]

_EXPECTED = (
    "expected a folder of .tar shards, a pattern such as 'train-{000..146}.tar' or 'train-*.tar', "
    "the same at s3://, gs:// or https://, or hf:OWNER/NAME"
)


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
        return _stat(Path(self.address))

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


def find_tar_units(data: str) -> tuple[TarUnit, ...]:
    """Find the tars that a data set consists of, and open none of them.

    Args:
        data: A tar, a folder of tars, a pattern with braces or stars, or an address of these.

    Raises:
        InputError: There is nothing of this name, or there are no tars.
        DataError: A tar is compressed.
        UnavailableError: A store cannot be reached, or a folder cannot be read.
    """
    units = _find_remote(data) if is_remote(data) else _find_local(data)
    if not units:
        raise InputError(f"{hide_passwords(data)!r} has no .tar shards to stream; {_EXPECTED}")
    for unit in units:
        if unit.name.lower().endswith(COMPRESSED):
            raise DataError(
                f"{hide_passwords(unit.address)!r} is compressed; expected plain .tar shards: "
                "decompress it"
            )
    return units


def _find_local(data: str) -> tuple[TarUnit, ...]:
    path = Path(data)
    try:
        if path.is_dir():
            paths, alone = find_shards(path), False
        elif path.exists():
            paths, alone = ([path] if is_shard(path) else []), True
        elif "{" in data:
            paths, alone = expand_braces(data), False
        elif any(mark in data for mark in "*?["):
            found = sorted(Path(one) for one in glob.glob(data))  # noqa: PTH207  an absolute one
            paths, alone = [one for one in found if is_shard(one) and one.is_file()], False
        else:
            raise InputError(f"there is no file or folder {data!r} to stream; {_EXPECTED}")
    except OSError as error:
        raise UnavailableError(f"cannot read {data!r} ({os_reason(error)})") from error
    except ValueError as error:  # a null byte
        if isinstance(error, CliptuneError):
            raise
        raise InputError(f"{data!r} is no name of data ({error})") from error
    if not paths:
        return ()
    root = root_of(paths)
    return tuple(
        TarUnit(one.relative_to(root).as_posix(), str(root), str(one), *_stat(one), alone)
        for one in paths
    )


def _stat(path: Path) -> tuple[int, str]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{str(path)!r} is not there any more; put it back, or embed into a new folder"
        ) from error
    except OSError as error:
        raise UnavailableError(f"cannot read {str(path)!r} ({os_reason(error)})") from error
    return status.st_size, str(status.st_mtime_ns)


def _find_remote(data: str) -> tuple[TarUnit, ...]:
    base, pattern = _fixed_part(data)
    if not pattern:
        found = list_remote(data)
        alone = len(found) == 1 and data.rstrip("/").endswith(f"/{found[0].name}")
        if alone:
            base = data.rstrip("/").rpartition("/")[0]
        return _as_units(base.rstrip("/"), found, alone=alone)
    if data.startswith(("http://", "https://")):
        if "{" not in data:
            raise InputError(
                f"{hide_passwords(data)!r} came, and a web server lists no files; write the "
                "numbers: train-{000..146}.tar"
            )
        addresses = expand_names(data)
        names = [address.removeprefix(f"{base}/") for address in addresses]
        objects = stat_remote(addresses)
        return _as_units(base, [replace(o, name=n) for o, n in zip(objects, names, strict=True)])
    return _as_units(base, _matching(list_remote(base), pattern, data))


def _fixed_part(data: str) -> tuple[str, str]:
    """Cut an address before its first part with a brace or a star."""
    scheme, _, rest = data.partition("://")
    parts = rest.split("/")
    first = next((n for n, part in enumerate(parts) if set(part) & set("{*[")), len(parts))
    return f"{scheme}://{'/'.join(parts[:first])}", "/".join(parts[first:])


def _matching(found: Sequence[RemoteObject], pattern: str, data: str) -> list[RemoteObject]:
    if "{" not in pattern:
        return [
            one
            for one in found
            if one.name.count("/") == pattern.count("/") and PurePosixPath(one.name).match(pattern)
        ]
    by_name, names = {one.name: one for one in found}, expand_names(pattern)
    if missing := [name for name in names if name not in by_name]:
        raise InputError(
            f"{hide_passwords(data)!r} stands for {len(names)} shards, but {missing[0]!r} is not "
            "there"
        )
    return [by_name[name] for name in names]


def _as_units(
    base: str, found: Sequence[RemoteObject], *, alone: bool = False
) -> tuple[TarUnit, ...]:
    """Keep tars in a folder and in the folders right below it, as of a folder here."""
    names = [PurePosixPath(one.name) for one in found]
    kept = [
        (name, one)
        for name, one in zip(names, found, strict=True)
        if is_shard(Path(name.name)) and name.name[0] != "." and len(name.parts) <= 2
    ]
    if not kept:
        return ()
    root: PurePath = root_of([name for name, _ in kept])
    place = base if root == PurePosixPath() else f"{base}/{root.as_posix()}"
    return tuple(
        TarUnit(
            name.relative_to(root).as_posix(), place, f"{base}/{name}", one.size, one.version, alone
        )
        for name, one in kept
    )
