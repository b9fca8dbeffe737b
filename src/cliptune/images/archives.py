"""Zip and tar archives of class folders, read without unpacking them.

It knows where members lie in an archive; which folder is a class is left to ``folders``. Own
reading of members instead of ``zipfile``'s, because that one reads the whole directory again for
each.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.asked import Asked, refuse_columns
from cliptune.images.decode import bad_image
from cliptune.images.folders import read_image_folder, refuse_tables
from cliptune.images.reading import Ignored, Reading
from cliptune.images.records import LabelledImages
from cliptune.images.shards import BROKEN_HEADERS
from cliptune.images.sources import Source, TarSource, readable
from cliptune.images.tree import is_image_name, tree_of_names

__all__ = ["ZipSource", "holds_class_folders", "read_tar_tree", "read_zip"]

_LOCAL_HEADER = 30


@dataclass(frozen=True, slots=True)
class ZipSource:
    """A member of a zip archive, whose local header stands at ``offset``."""

    id: str
    path: str
    member: str
    offset: int
    packed: int
    size: int
    method: int
    crc: int

    @property
    def location(self) -> str:
        """The archive's path and the member's name."""
        return f"{self.path}/{self.member}"

    def read(self) -> bytes:
        """Return the member's bytes; see ``Source.read``."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                header = file.read(_LOCAL_HEADER)
                n_name, n_extra = struct.unpack("<HH", header[26:30])
                file.seek(n_name + n_extra, 1)
                data = file.read(self.packed)
        except (OSError, struct.error) as error:
            raise bad_image(self.location, str(error)) from error
        if self.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-15).decompress(data, self.size + 1)
            except zlib.error as error:
                raise bad_image(self.location, f"the archive is damaged ({error})") from error
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise bad_image(self.location, "the archive is damaged (length or checksum)")
        return data


def read_zip(path: Path, asked: Asked) -> LabelledImages:
    """Read a zip archive of class folders, with or without splits above them.

    Raises:
        DataError: It is damaged, encrypted, packed otherwise than by deflate, or holds no images;
            or a member leads out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{str(path)!r} is no whole zip archive ({error})") from error
    sources: dict[str, Source] = {}
    for info in members:
        name = info.filename.replace("\\", "/")
        if not is_image_name(name.rpartition("/")[2]):
            continue
        if info.flag_bits & 1 or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise DataError(
                f"{name!r} of {str(path)!r} is encrypted or packed otherwise than by deflate; "
                "unpack it"
            )
        sources[name] = ZipSource(
            id=readable(name),
            path=str(path),
            member=name,
            offset=info.header_offset,
            packed=info.compress_size,
            size=info.file_size,
            method=info.compress_type,
            crc=info.CRC,
        )
    names = [info.filename.replace("\\", "/") for info in members]
    return _read_tree(path, names, sources, asked, "a zip archive")


def holds_class_folders(path: Path) -> bool:
    """Tell a tar archive of images in folders from a shard, which has labels beside images."""
    try:
        with tarfile.open(path, "r:") as archive:
            names = [member.name.removeprefix("./") for member in archive if member.isfile()]
    except BROKEN_HEADERS:
        return False  # reading it says what is wrong
    suffixes = {name.rpartition(".")[2].lower() for name in names}
    images = [name for name in names if is_image_name(name.rpartition("/")[2])]
    return (
        bool(images)
        and all("/" in name for name in images)
        and not suffixes & {"cls", "json", "txt"}
    )


def read_tar_tree(path: Path, asked: Asked) -> LabelledImages:
    """Read a plain tar archive of class folders, with or without splits above them.

    Raises:
        DataError: It holds no images, or a member leads out of it.
    """
    sources: dict[str, Source] = {}
    names = []
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not member.isfile():
                continue
            names.append(name)
            if is_image_name(name.rpartition("/")[2]):
                sources[name] = TarSource(
                    readable(name), str(path), member.name, member.offset_data, member.size
                )
    return _read_tree(path, names, sources, asked, "a tar archive")


def _read_tree(
    path: Path, names: Iterable[str], sources: Mapping[str, Source], asked: Asked, kind: str
) -> LabelledImages:
    refuse_columns(str(path), asked)
    tree = tree_of_names(str(path), names)
    images = read_image_folder(tree, asked.folders, sources.__getitem__)
    if images is None:
        raise DataError(f"{str(path)!r} holds no images; expected class folders with images")
    reading = images.reading or Reading("a folder of images")
    others = list(tree.top.other_paths())
    refuse_tables(tree, images, "tables are not read in archives: unpack it")
    reading = reading.add(
        ignored=[Ignored(len(others), "other members", others[0])] if others else []
    )
    return replace(images, reading=replace(reading, layout=f"{kind} of {reading.layout}"))
