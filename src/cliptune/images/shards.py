"""WebDataset shards: tar archives in which files of one base name make a sample.

It lists each archive once and reads images by their place in it; what labels mean is left to
``labelling``. Own code instead of the ``webdataset`` library because that one streams samples
and can neither count them nor read one by its number.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from cliptune.errors import DataError, InputError
from cliptune.file_kinds import is_file
from cliptune.images.folders import is_image_name
from cliptune.images.records import Records
from cliptune.images.sources import Source, TarSource, readable
from cliptune.json_files import parse_value

__all__ = ["expand_braces", "find_shards", "is_shard", "read_shard"]

_MAX_TEXT_BYTES = 1 << 20
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}|\{([^{}]*,[^{}]*)\}", re.ASCII)
_MAX_SHARDS = 100_000
# What tarfile raises on headers that are not what they promise, besides its own errors.
_BROKEN_HEADERS = (tarfile.TarError, OSError, ValueError, LookupError, ArithmeticError, EOFError)

Cells = dict[str, Any]  # Any: a cell as the archive has it


def is_shard(path: Path) -> bool:
    """Tell whether a file is a tar archive by its name, compressed ones included."""
    return path.name.lower().endswith((".tar", *_COMPRESSED))


def find_shards(folder: Path) -> list[Path]:
    """Return the archives in a folder and in the folders right below it, sorted."""
    found = [*folder.iterdir(), *(p for d in folder.iterdir() if d.is_dir() for p in d.iterdir())]
    return sorted(p for p in found if p.is_file() and is_shard(p) and p.name[0] != ".")


def expand_braces(pattern: str) -> list[Path]:
    """Return the paths of ``shard-{000..003}.tar`` or ``{train,val}.tar``.

    Raises:
        InputError: One of them is missing, or they are none, or more than anyone has.
    """
    paths = [Path(text) for text in islice(_expand(pattern), _MAX_SHARDS + 1)]
    if not 0 < len(paths) <= _MAX_SHARDS:
        count = f"more than {_MAX_SHARDS}" if paths else "no"
        raise InputError(
            f"{pattern!r} stands for {count} shards; write for example shard-{{000..003}}.tar"
        )
    missing = [path for path in paths if not is_file(path)]
    if missing:
        raise InputError(
            f"{pattern!r} stands for {len(paths)} shards, but {str(missing[0])!r} is not there"
        )
    return paths


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


@dataclass
class _Sample:
    """The files of one base name: at most one image, and cells for labels and captions."""

    image: TarSource | None = None
    cells: Cells = field(default_factory=dict)


def read_shard(path: Path, root: Path) -> Records:
    """List a shard.

    The columns are ``image``, the suffixes of text members (``cls``, ``txt``) and the keys of
    JSON members.

    Args:
        path: An uncompressed tar archive.
        root: The folder that ids are relative to.

    Raises:
        DataError: It is compressed, damaged, or holds no images.
    """
    if path.name.lower().endswith(_COMPRESSED):
        raise DataError(
            f"{str(path)!r} is compressed, so that single images cannot be read; expected a plain "
            ".tar: decompress it"
        )
    try:
        samples = _list_samples(path, root)
    except DataError:
        raise
    except _BROKEN_HEADERS as error:
        raise DataError(f"{str(path)!r} is no whole tar archive ({error})") from error
    rows = [sample for sample in samples.values() if sample.image is not None]
    if not rows:
        raise DataError(f"{str(path)!r} holds no images; expected members such as 0001.jpg")
    columns = ("image", *dict.fromkeys(name for sample in rows for name in sample.cells))

    def read_sources(name: str) -> list[Source]:
        if name != "image":
            raise DataError(f"the images of {str(path)!r} are in 'image', not in {name!r}")
        return [sample.image for sample in rows if sample.image is not None]

    return Records(
        name=str(path),
        columns=columns,
        n_rows=len(rows),
        read_column=lambda name: [sample.cells.get(name) for sample in rows],
        read_sources=read_sources,
    )


def _list_samples(path: Path, root: Path) -> dict[str, _Sample]:
    samples: dict[str, _Sample] = {}
    shard = path.relative_to(root).as_posix()
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            folder, _, name = member.name.removeprefix("./").rpartition("/")
            # A sample's name ends at the first dot of its files' names.
            stem, dot, suffix = name.partition(".")
            if not (member.isfile() and stem and dot):
                continue
            sample = samples.setdefault(f"{folder}/{stem}", _Sample())
            suffix = suffix.lower()
            if is_image_name(f"x.{suffix}") and "." not in suffix:
                if sample.image is not None:
                    raise DataError(
                        f"{str(path)!r} has two images of the name {stem!r}; keep one or rename it"
                    )
                sample.image = TarSource(
                    id=readable(f"{shard}/{member.name.removeprefix('./')}"),
                    path=str(path),
                    member=member.name,
                    offset=member.offset_data,
                    size=member.size,
                )
            elif suffix in ("cls", "txt", "json") and member.size <= _MAX_TEXT_BYTES:
                file = archive.extractfile(member)
                assert file is not None, "the member is a regular file"
                sample.cells.update(_read_cells(file.read(), suffix, f"{path}/{member.name}"))
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
