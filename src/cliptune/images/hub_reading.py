"""A unit of a data set of the Hugging Face hub: a file, read through ``datasets`` as it comes.

Its rows are written to this machine as long as they are embedded. It knows nothing about which
units there are, or about labels beyond the names that the data set gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cliptune.errors import CliptuneError, DataError, InputError, UnavailableError
from cliptune.images.label_columns import IMAGE_NAMES, find_column, label_column
from cliptune.images.labelling import label_images
from cliptune.images.records import Columns, LabelledImages, Records, Values, settle_lists
from cliptune.images.sources import Source, StretchSource
from cliptune.images.split_words import split_of
from cliptune.images.spool import spool_folder
from cliptune.images.units import move_sources, named_as, read_tar

if TYPE_CHECKING:
    from datasets import IterableDataset

__all__ = ["HubUnit", "in_groups", "open_stream"]

_READERS = 8
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class HubUnit:
    """One of the stretches of a split.

    Attributes:
        name: The split and its number.
        address: Its file, or the first of them.
        size: In bytes.
        mark: Of the contents of its files; no new commit changes it.
        repository: Owner and name.
        config: The configuration, if there are several.
        revision: The commit that is read, which nobody can write to.
        split: As the data set names it.
        number: Of this stretch, among ``of``.
        of: Stretches of the split.
        shards: Shards that the library cuts the split into.
    """

    name: str
    address: str
    size: int
    mark: str
    repository: str
    config: str | None
    revision: str
    split: str
    number: int
    of: int
    shards: int

    def require_same(self) -> None:
        """See ``Unit.require_same``: a commit stays as it is."""

    def has_changed(self) -> bool:
        """See ``Unit.has_changed``: a commit stays as it is."""
        return False

    @contextmanager
    def images(self, columns: Columns) -> Iterator[LabelledImages]:
        """See ``Unit.images``; the images are on this machine as long as the block lasts."""
        with spool_folder() as folder:
            try:
                read = self._read_tar if self.address.endswith(".tar") else self._read_rows
                images = read(folder, columns)
            except CliptuneError:
                raise
            except Exception as error:  # every library below has errors of its own
                reason = " ".join(str(error).split())[:160] or type(error).__name__
                raise UnavailableError(
                    f"{self.address!r} cannot be read ({reason}); repeat the command with --retry"
                ) from error
            yield images

    def _read_tar(self, folder: Path, columns: Columns) -> LabelledImages:
        """Read a tar as tars are read elsewhere; the library has rules of its own."""
        from huggingface_hub import HfFileSystem

        root, _, file = self.address.rpartition("/")
        repository = f"hf://datasets/{self.repository}"
        place = self.address.replace(repository, f"{repository}@{self.revision}", 1)
        HfFileSystem().get_file(place, str(folder / file))
        with named_as(folder, root):
            images = read_tar(folder / file, folder, columns, split_of(self.split) or "")
        return move_sources(images, self.address)

    def _read_rows(self, folder: Path, columns: Columns) -> LabelledImages:
        rows = open_stream(self.repository, self.config, self.revision)[self.split]
        if rows.num_shards != self.shards:
            raise DataError(
                f"{self.repository!r} comes in {rows.num_shards} shards here, and in "
                f"{self.shards} where the job was planned; give all machines the same version of "
                "the library datasets"
            )
        rows = rows.shard(num_shards=self.of, index=self.number)
        features = _features(rows)
        image = _image_column(features, columns, self.address)
        others = [name for name, kind in features.items() if not _is_media(kind)]
        cells: dict[str, Values] = {name: [] for name in others}
        sources = self._spool(rows, image, cells, folder / "images")
        records = Records(
            name=self.address,
            columns=(image, *others),
            n_rows=len(sources),
            read_column=cells.__getitem__,
            read_sources=lambda name: sources,
            label_names=_label_names(features),
        )
        images = label_images(records, columns, split_of(self.split) or "")
        names = records.label_names.get(label_column(records, columns) or "")
        if names is not None:
            images = replace(images, numbers={name: n for n, name in enumerate(names)})
        return settle_lists([images])[0]

    def _spool(
        self, rows: IterableDataset, image: str, cells: dict[str, Values], file: Path
    ) -> list[Source]:
        """Write the images of all rows one behind the other, and keep the other cells."""
        own = f"hf://datasets/{self.repository}@{self.revision}/"
        sources: list[Source] = []
        offset = 0
        with file.open("wb") as target, ThreadPoolExecutor(_READERS) as pool:
            for some in in_groups(rows, _READERS * 4):
                found = pool.map(partial(_bytes_of, own=own), [row[image] for row in some])
                for row, (data, place, lacks) in zip(some, found, strict=True):
                    number = len(sources)
                    target.write(data)
                    location = place.replace(own, own.replace(f"@{self.revision}", ""))
                    sources.append(
                        StretchSource(
                            f"{self.name}#{number}",
                            location or f"{self.address}#{number}",
                            *(str(file), offset, len(data), lacks),
                        )
                    )
                    offset += len(data)
                    for name, values in cells.items():
                        values.append(row[name])
        return sources


def in_groups(items: Iterable[_Item], n: int) -> Iterator[list[_Item]]:
    """Give n items at a time."""
    rest = iter(items)
    while some := list(islice(rest, n)):
        yield some


@lru_cache(maxsize=2)
def open_stream(repository: str, config: str | None, revision: str) -> dict[str, IterableDataset]:
    """Open a commit of a data set, by split, as it comes and with images as they lie in files."""
    import datasets

    # Of a repository this library reads data only: since 4.0 it runs no script that lies there.
    found = datasets.load_dataset(repository, config, streaming=True, revision=revision)
    # Before any other step: behind some, such as a filter, datasets 5.2 decodes all the same.
    return {split: rows.decode(False) for split, rows in found.items()}


def _features(rows: IterableDataset) -> Mapping[str, Any]:  # Any: features of the library
    return dict((rows if rows.features is not None else rows._resolve_features()).features)


def _is_media(kind: object) -> bool:
    import datasets

    return isinstance(kind, (datasets.Image, datasets.Audio, datasets.Video, datasets.Pdf))


def _image_column(features: Mapping[str, Any], columns: Columns, origin: str) -> str:
    import datasets

    def nothing(name: str) -> Any:  # Any: only names are looked at
        raise AssertionError(name)

    records = Records(origin, tuple(features), 0, nothing, nothing)
    found = find_column(records, columns.image, IMAGE_NAMES, "image")
    if found is None:
        raise DataError(
            f"{origin!r} has no image column by a usual name; its columns are: "
            f"{', '.join(features)}; name it with --image-column"
        )
    if not isinstance(features[found], datasets.Image):
        raise InputError(f"column {found!r} of {origin!r} holds no images but {features[found]}")
    return found


def _label_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    import datasets

    return {
        name: tuple(kind.names)
        for name, kind in features.items()
        if isinstance(kind, datasets.ClassLabel)
    }


def _bytes_of(cell: Any, *, own: str) -> tuple[bytes, str, str]:  # Any: a cell of the library
    """Return the bytes of a cell, the file that it names instead, and why there are none.

    A file is read where it lies in this very data set: a cell is a stranger's text.
    """
    held = cell.get("bytes") if isinstance(cell, dict) else None
    if isinstance(held, bytes):
        return held, "", ""
    path = cell.get("path") if isinstance(cell, dict) else None
    if not isinstance(path, str) or not path:
        return b"", "", "the row holds no image"
    if not path.rpartition("::")[2].startswith(own):
        return b"", "", f"it names the file {path!r}, which is none of this data set"
    import fsspec

    with fsspec.open(path) as file:
        return bytes(file.read()), path, ""
