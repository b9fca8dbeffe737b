"""Units of a store of objects where pictures lie one by one in class folders.

Pictures that follow each other are a unit of about 100 MB, which whoever embeds it fetches. Who
finds them learns names, sizes and versions of all objects; none is fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cliptune.errors import DataError, InputError, UnavailableError
from cliptune.images.asked import Asked, refuse_columns
from cliptune.images.folders import read_image_folder, refuse_tables
from cliptune.images.records import Columns, LabelledImages
from cliptune.images.remote import RemoteObject, fetch_object, stat_remote
from cliptune.images.sources import StretchSource, readable
from cliptune.images.spool import spool_folder
from cliptune.images.tree import tree_of_names
from cliptune.system.redaction import hide_passwords

__all__ = ["Picture", "PictureUnit", "find_picture_units"]

_UNIT_BYTES = 100 * 10**6
_FETCHED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """One object.

    Attributes:
        name: Relative to the data set's address.
        size: In bytes.
        version: As the store calls it.
        label: Its class folder; None where it lies in none.
        split: ``train``, ``val``, ``test`` or nothing.
    """

    name: str
    size: int
    version: str
    label: str | None
    split: str


@dataclass(frozen=True, slots=True)
class PictureUnit:
    """Pictures that follow each other; see ``Unit``.

    Attributes:
        name: That of its first picture, and how many follow.
        root: Address of the data set.
        pictures: What it consists of.
        numbers: From the labels among them to their places among all classes of the data set.
    """

    name: str
    root: str
    pictures: tuple[Picture, ...]
    numbers: Mapping[str, int]

    @property
    def address(self) -> str:
        """The address of its first picture, and the name of its last."""
        first, last = self.pictures[0], self.pictures[-1]
        return self._address_of(first) + (f" to {last.name}" if last is not first else "")

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(picture.size for picture in self.pictures)

    @property
    def mark(self) -> str:
        """A digest of the names and versions of its pictures."""
        said = "\0".join(f"{picture.name}\0{picture.version}" for picture in self.pictures)
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()

    def require_same(self) -> None:
        """See ``Unit.require_same``."""
        try:
            now = stat_remote([self._address_of(picture) for picture in self.pictures])
        except InputError as error:
            raise UnavailableError(
                f"a picture of {hide_passwords(self.root)!r} went since the command began "
                f"({error}); put it back, or embed into a new folder"
            ) from error
        for picture, found in zip(self.pictures, now, strict=True):
            if (found.size, found.version) != (picture.size, picture.version):
                raise DataError(
                    f"{hide_passwords(self._address_of(picture))!r} was written to since the "
                    "command began; repeat the command with --retry"
                )

    def has_changed(self) -> bool:
        """See ``Unit.has_changed``; a store is not asked again."""
        return False

    @contextmanager
    def images(self, columns: Columns) -> Iterator[LabelledImages]:
        """See ``Unit.images``; the pictures are here as long as the block lasts."""
        refuse_columns(hide_passwords(self.root), Asked(columns))
        with spool_folder() as folder:
            places = [folder / str(number) for number in range(len(self.pictures))]
            with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
                sources = list(pool.map(self._fetch, self.pictures, places))
            yield LabelledImages(
                sources=sources,
                labels=[picture.label for picture in self.pictures],
                splits=[picture.split for picture in self.pictures],
                numbers=self.numbers,
            )

    def _fetch(self, picture: Picture, target: Path) -> StretchSource:
        address = self._address_of(picture)
        fetch_object(address, target)
        if (found := target.stat().st_size) != picture.size:
            raise UnavailableError(
                f"{found} of the {picture.size} bytes of {hide_passwords(address)!r} came; repeat "
                "the command with --retry"
            )
        place = hide_passwords(address)
        return StretchSource(readable(picture.name), place, str(target), 0, picture.size)

    def _address_of(self, picture: Picture) -> str:
        return f"{self.root}/{picture.name}"


def find_picture_units(address: str, objects: Sequence[RemoteObject]) -> tuple[PictureUnit, ...]:
    """Divide the pictures of a store; those of a class folder follow each other.

    Args:
        address: Of the data set.
        objects: All that lies there.

    Returns:
        Nothing where there are no pictures.

    Raises:
        DataError: The folders can be read in two ways, or a table may hold the labels.
    """
    shown, root = hide_passwords(address), address.rstrip("/")
    by_name = {one.name: one for one in objects}
    tree = tree_of_names(shown, by_name)
    images = read_image_folder(tree, Asked().folders, _Listed)
    if images is None:
        return ()
    refuse_tables(tree, images, "tables are not read with --stream: leave it out")
    found = [by_name[source.id] for source in images.sources]
    pictures = [
        Picture(one.name, one.size, one.version, label, split)
        for one, label, split in zip(found, images.labels, images.splits, strict=True)
    ]
    places = {label: number for number, label in enumerate(images.classes or ())}
    return tuple(
        PictureUnit(
            _name_of(some),
            root,
            some,
            {p.label: places[p.label] for p in some if p.label is not None},
        )
        for some in _in_units(pictures)
    )


@dataclass(frozen=True, slots=True)
class _Listed:
    """A picture of which only the name is known."""

    id: str

    @property
    def location(self) -> str:
        """The same."""
        return self.id

    def read(self) -> bytes:
        """Never called."""
        raise AssertionError("only its unit fetches a picture")


def _name_of(pictures: Sequence[Picture]) -> str:
    n_more = len(pictures) - 1
    return pictures[0].name + (f" and {n_more} more" if n_more else "")


def _in_units(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, ...]]:
    waiting: list[Picture] = []
    size = 0
    for picture in pictures:
        if waiting and size + picture.size > _UNIT_BYTES:
            yield tuple(waiting)
            waiting, size = [], 0
        waiting.append(picture)
        size += picture.size
    if waiting:
        yield tuple(waiting)
