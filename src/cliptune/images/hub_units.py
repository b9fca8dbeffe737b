"""Units of a data set of the Hugging Face hub: its files, read through ``datasets`` as they come.

A unit is a shard of the library's stream, which is a file; of data sets that are folders of
images, several files that follow each other. Its rows are written to this machine as long as they
are embedded. It knows nothing about labels beyond the names that the data set gives them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cliptune.catalog.fetch import require_reachable
from cliptune.errors import CliptuneError, DataError, InputError, UnavailableError
from cliptune.images.hub import explain_hub, parse_hub_name
from cliptune.images.label_columns import IMAGE_NAMES, find_column, label_column
from cliptune.images.labelling import label_images
from cliptune.images.records import Columns, LabelledImages, Records, Values, settle_lists
from cliptune.images.sources import Source, StretchSource
from cliptune.images.split_words import split_of
from cliptune.images.spool import spool_folder
from cliptune.images.tree import is_image_name
from cliptune.images.units import move_sources, named_as, read_tar

if TYPE_CHECKING:
    from datasets import IterableDataset

__all__ = ["HubUnit", "find_hub_units"]

_GROUP_BYTES = 100 * 10**6  # of single images that become a unit
_PATHS_A_REQUEST = 500
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
        rows = _open_stream(self.repository, self.config, self.revision)[self.split]
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
            for some in _in_groups(rows, _READERS * 4):
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


def find_hub_units(name: str, split: str | None = None) -> tuple[HubUnit, ...]:
    """Find the units of ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@CONFIG``; no image is fetched.

    Args:
        name: The data set.
        split: Only this one of its splits.

    Raises:
        InputError: The name has another form, or there is no such data set or split.
        UnavailableError: The hub cannot be reached.
    """
    from huggingface_hub import constants

    repository, config = parse_hub_name(name)
    if constants.HF_HUB_OFFLINE:
        raise UnavailableError(
            f"cannot stream {name!r}: HF_HUB_OFFLINE is set; leave --stream out to take what is "
            "in the cache"
        )
    require_reachable(constants.ENDPOINT)
    return explain_hub(name, lambda: _find(repository, config, split))


def _find(repository: str, config: str | None, split: str | None) -> tuple[HubUnit, ...]:
    import datasets
    from huggingface_hub import HfApi

    revision = str(HfApi().dataset_info(repository).sha)
    builder = datasets.load_dataset_builder(repository, config, revision=revision)
    files_of = builder.config.data_files or {}
    streams = dict(_open_stream(repository, config, revision))
    if split is not None:
        wanted = [one for one in streams if one == split or split_of(one) == split_of(split)]
        if not wanted:
            raise InputError(f"{repository!r} has no split {split!r}; it has {', '.join(streams)}")
        streams = {one: streams[one] for one in wanted}
    units: list[HubUnit] = []
    for own, rows in streams.items():
        files = [str(file) for file in files_of.get(own, ())]
        facts = _facts_of(files, repository, revision)
        of = _n_units(files, rows.num_shards, sum(size for size, _ in facts))
        for number in range(of):
            place = _stretch(len(files), of, number) if len(files) >= of else slice(0, None)
            units.append(
                HubUnit(
                    f"{own}/{number:05d}",
                    _shown((files[place] or [f"hf://datasets/{repository}"])[0], revision),
                    sum(size for size, _ in facts[place]),
                    _joined([mark for _, mark in facts[place]]) or revision,
                    *(repository, config, revision, own, number, of, rows.num_shards),
                )
            )
    return tuple(units)


def _n_units(files: Sequence[str], n_shards: int, n_bytes: int) -> int:
    """Say into how many units a split goes: its shards, unless each is a single picture."""
    if files and all(is_image_name(file.rpartition("/")[2]) for file in files):
        return max(1, min(n_shards, -(-n_bytes // _GROUP_BYTES)))
    return n_shards


def _stretch(n: int, of: int, number: int) -> slice:
    """Return which of n files a stretch has, as ``IterableDataset.shard`` cuts them."""
    least, more = divmod(n, of)
    start = least * number + min(number, more)
    return slice(start, start + least + (number < more))


def _facts_of(files: Sequence[str], repository: str, revision: str) -> list[tuple[int, str]]:
    """Ask for the sizes of files and the digests of what is in them."""
    from huggingface_hub import HfApi

    before = f"hf://datasets/{repository}@{revision}/"
    paths = [file.removeprefix(before) for file in files if file.startswith(before)]
    found: dict[str, tuple[int, str]] = {}
    for some in _in_groups(paths, _PATHS_A_REQUEST):
        for one in HfApi().get_paths_info(repository, some, repo_type="dataset", revision=revision):
            found[one.path] = (int(getattr(one, "size", 0)), str(getattr(one, "blob_id", "")))
    return [found.get(file.removeprefix(before), (0, file)) for file in files]


def _in_groups(items: Iterable[_Item], n: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while some := list(islice(rest, n)):
        yield some


def _joined(marks: Sequence[str]) -> str:
    if len(marks) < 2:
        return "".join(marks)
    return hashlib.sha256("\0".join(marks).encode()).hexdigest()


def _shown(file: str, revision: str) -> str:
    return file.replace(f"@{revision}", "")


@lru_cache(maxsize=2)
def _open_stream(repository: str, config: str | None, revision: str) -> dict[str, IterableDataset]:
    import datasets

    # Of a repository this library reads data only: since 4.0 it runs no script that lies there.
    found = datasets.load_dataset(repository, config, streaming=True, revision=revision)
    # Here and not later: datasets 5.2 decodes all the same what was cut into shards before.
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
