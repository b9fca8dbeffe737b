"""WebDataset shards: tar archives in which files of one name make a sample.

It lists each archive once and reads images by their place in it; what labels mean is left to
``labelling``, and which members belong together to ``shard_samples``. Own code instead of the
``webdataset`` library because that one streams samples and can neither count them nor read one
by its number.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import TypeVar

from cliptune.errors import DataError, InputError
from cliptune.images.reading import Ignored
from cliptune.images.records import VIEWS, Records, Values
from cliptune.images.shard_samples import Cells, Member, Samples, join_samples
from cliptune.images.sources import TarSource, readable
from cliptune.images.tree import is_image_name
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import parse_value

__all__ = [
    "BROKEN_HEADERS",
    "COMPRESSED",
    "expand_braces",
    "expand_names",
    "find_shards",
    "is_shard",
    "read_shard",
    "root_of",
]

_MAX_TEXT_BYTES = 1 << 20
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}|\{([^{}]*,[^{}]*)\}", re.ASCII)
_MAX_SHARDS = 100_000
_Path = TypeVar("_Path", bound=PurePath)
# What tarfile raises on headers that are not what they promise, besides its own errors.
BROKEN_HEADERS = (tarfile.TarError, OSError, ValueError, LookupError, ArithmeticError, EOFError)


def is_shard(path: Path) -> bool:
    """Tell whether a file is a tar archive by its name, compressed ones included."""
    return path.name.lower().endswith((".tar", *COMPRESSED))


def find_shards(folder: Path) -> list[Path]:
    """Return the archives in a folder and in the folders right below it, sorted."""
    found = [*folder.iterdir(), *(p for d in folder.iterdir() if d.is_dir() for p in d.iterdir())]
    return sorted(p for p in found if p.is_file() and is_shard(p) and p.name[0] != ".")


def expand_braces(pattern: str) -> list[Path]:
    """Return the paths of ``shard-{000..003}.tar`` or ``{train,val}.tar``.

    Raises:
        InputError: One of them is missing, or they are none, or more than anyone has.
    """
    paths = [Path(text) for text in expand_names(pattern)]
    missing = [path for path in paths if not is_file(path)]
    if missing:
        raise InputError(
            f"{pattern!r} stands for {len(paths)} shards, but {str(missing[0])!r} is not there"
        )
    return paths


def expand_names(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, whether there are such files or not.

    Raises:
        InputError: They are none, or more than anyone has.
    """
    names = list(islice(_expand(pattern), _MAX_SHARDS + 1))
    if not 0 < len(names) <= _MAX_SHARDS:
        count = f"more than {_MAX_SHARDS}" if names else "no"
        raise InputError(
            f"{pattern!r} stands for {count} shards; write for example shard-{{000..003}}.tar"
        )
    return names


def root_of(paths: Sequence[_Path]) -> _Path:
    """Return the folder that the ids of shards are relative to: theirs, or the one above."""
    parents = [path.parent for path in paths]
    if len(set(parents)) == 1:
        return parents[0]
    return min(parents, key=lambda parent: len(parent.parts)).parent


def _expand(pattern: str) -> Iterator[str]:
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    first, last, words = found.groups()
    options: Iterator[str]
    if words is None:
        numbers = range(int(first), int(last) + 1)
        options = (str(number).zfill(len(first)) for number in numbers)  # one at a time
    else:
        options = iter(words.split(","))
    for option in options:
        yield from _expand(pattern[: found.start()] + option + pattern[found.end() :])


def read_shard(path: Path, root: Path, image: str | None = None) -> Records:
    """List a shard.

    The columns are ``image``, the suffixes of text members (``cls``, ``txt``) and the keys of
    JSON members.

    Args:
        path: An uncompressed tar archive.
        root: The folder that ids are relative to.
        image: What the names of images end in where samples hold several, e.g. ``input.jpg``.

    Raises:
        DataError: It is compressed, damaged, or holds no images.
    """
    if path.name.lower().endswith(COMPRESSED):
        raise DataError(
            f"{str(path)!r} is compressed, so that single images cannot be read; expected a plain "
            ".tar: decompress it"
        )
    try:
        samples = _list_samples(path, root, image)
    except DataError:
        raise
    except BROKEN_HEADERS as error:
        raise DataError(f"{str(path)!r} is no whole tar archive ({error})") from error
    if not samples.rows:
        raise DataError(f"{str(path)!r} holds no images; expected members such as 0001.jpg")
    rows = samples.rows
    columns = ["image", *dict.fromkeys(name for sample in rows for name in sample.cells)]
    has_views = any(sample.key for sample in rows)
    if has_views:
        columns.append(VIEWS)

    def read_column(name: str) -> Values:
        if name == VIEWS:
            return [sample.key or sample.source.member for sample in rows]
        return [sample.cells.get(name) for sample in rows]

    return Records(
        name=str(path),
        columns=tuple(columns),
        n_rows=len(rows),
        read_column=read_column,
        read_sources=lambda name: [sample.source for sample in rows],
        kind="WebDataset shard",
        notes=tuple(samples.notes),
        ignored=tuple(samples.ignored),
    )


def _list_samples(path: Path, root: Path, image: str | None) -> Samples:
    images: list[Member] = []
    cells: dict[str, Cells] = {}
    others: list[str] = []
    shard = path.relative_to(root).as_posix()
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            stem, dot, suffix = name.rpartition(".")
            suffix = suffix.lower()
            base = name.rpartition("/")[2]
            if not (member.isfile() and dot and stem.rpartition("/")[2]) or base.startswith("."):
                continue
            if is_image_name(f"x.{suffix}"):
                source = TarSource(
                    id=readable(f"{shard}/{name}"),
                    path=str(path),
                    member=member.name,
                    offset=member.offset_data,
                    size=member.size,
                )
                images.append(Member(stem, suffix, source))
            elif suffix in ("cls", "txt", "json") and member.size <= _MAX_TEXT_BYTES:
                file = archive.extractfile(member)
                assert file is not None, "the member is a regular file"
                found = _read_cells(file.read(), suffix, f"{path}/{member.name}")
                cells.setdefault(stem, {}).update(found)
            else:
                others.append(member.name)
    samples = join_samples(images, cells, image, str(path))
    if others:
        samples.ignored.append(Ignored(len(others), "members of other kinds", others[0]))
    return samples


def _read_cells(data: bytes, suffix: str, name: str) -> Cells:
    try:
        text = data.decode("utf-8").strip()
        if suffix != "json":
            return {suffix: text}
        value = parse_value(text)
    except ValueError as error:
        raise DataError(f"{name!r} cannot be read ({error})") from error
    return value if isinstance(value, dict) else {"label": value}
