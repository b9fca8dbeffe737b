"""From what the user calls DATA to labelled images, whichever kind of data set it is.

It knows which reader takes what, and nothing about what the readers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cliptune.catalog import find_dataset
from cliptune.errors import DataError, InputError, UnavailableError
from cliptune.images.folders import read_image_folder
from cliptune.images.labelling import label_all
from cliptune.images.manifests import MANIFEST_SUFFIXES, read_manifest
from cliptune.images.parquet_rows import BatchCache
from cliptune.images.records import (
    Columns,
    Filter,
    LabelledImages,
    Records,
    split_of,
)
from cliptune.images.shards import expand_braces, find_shards, is_shard, read_shard
from cliptune.images.sources import FileSource

__all__ = ["read_data"]

Progress = Callable[[int, int], None]


def read_data(
    data: str | Path,
    columns: Columns,
    *,
    where: Filter | None = None,
    progress: Progress | None = None,
) -> LabelledImages:
    """Read a folder, a manifest, shards, a data set of a hub, or one that has a name.

    Raises:
        InputError: There is nothing of this name, or nothing that is known.
        DataError: It holds no images, or labels and files are at odds.
        UnavailableError: It has to be fetched and cannot be.
    """
    if str(data).startswith("hf:"):
        from cliptune.images.hub import read_hub

        return read_hub(str(data), columns, where)
    try:
        return _read_local(data, columns, where, progress)
    except UnavailableError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnavailableError(f"cannot read {str(error.filename or data)!r} ({reason})") from error


def _read_local(
    data: str | Path, columns: Columns, where: Filter | None, progress: Progress | None
) -> LabelledImages:
    text, path = str(data), Path(data)
    if _is_there(path):
        return _read_path(path, columns, where)
    if "{" in text:
        return _read_shards(expand_braces(text), columns, where)
    if isinstance(data, Path) or len(path.parts) != 1 or path.suffix:
        raise InputError(f"there is no file or folder {text!r}; check the path")
    located = find_dataset(text, progress=progress)
    if located.files is None:
        return _read_path(located.path, columns, where)
    _refuse_columns(text, columns, where)
    return _read_files(located.path, located.files)


def _is_there(path: Path) -> bool:
    """Tell whether there is anything; a place that cannot even be asked is another matter."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:  # a null byte
        raise InputError(f"{str(path)!r} is no name of data ({error})") from error
    return True


def _read_files(folder: Path, files: Mapping[str, str]) -> LabelledImages:
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise UnavailableError(
            f"{str(folder)!r} lacks {missing[0]!r}; install another version of its package"
        )
    return LabelledImages(
        sources=[FileSource(name, str(folder / name)) for name in files],
        labels=list(files.values()),
        splits=[""] * len(files),
    )


def _read_path(path: Path, columns: Columns, where: Filter | None) -> LabelledImages:
    if path.is_file():
        return _read_file(path, columns, where)
    manifests = _manifests_in(path)
    if manifests:
        cache = BatchCache()
        return _label_all(manifests, path, columns, where, lambda p: read_manifest(p, path, cache))
    images = read_image_folder(path)
    if images is not None:
        _refuse_columns(str(path), columns, where)
        return images
    shards = find_shards(path)
    if shards:
        return _read_shards(shards, columns, where)
    raise DataError(
        f"{str(path)!r} holds no images; expected class folders with images, a manifest "
        f"({', '.join(MANIFEST_SUFFIXES)}) or .tar shards"
    )


def _refuse_columns(name: str, columns: Columns, where: Filter | None) -> None:
    if where:
        raise InputError(f"{name!r} has no columns to filter by; filters need a manifest")
    for kind in ("image", "label", "caption"):
        if getattr(columns, kind) is not None:
            raise InputError(
                f"--{kind}-column {getattr(columns, kind)} came, but {name!r} has only images, "
                "no columns; leave it out, or name a manifest"
            )


def _read_file(path: Path, columns: Columns, where: Filter | None) -> LabelledImages:
    if is_shard(path):
        return _read_shards([path], columns, where)
    if path.suffix.lower() not in MANIFEST_SUFFIXES:
        raise InputError(
            f"{str(path)!r} is no data set; expected a folder, a manifest "
            f"({', '.join(MANIFEST_SUFFIXES)}) or .tar shards"
        )
    cache, root = BatchCache(), path.parent
    return _label_all([path], root, columns, where, lambda p: read_manifest(p, root, cache))


def _read_shards(paths: Sequence[Path], columns: Columns, where: Filter | None) -> LabelledImages:
    parents = [path.parent for path in paths]
    root = parents[0] if len(set(parents)) == 1 else min(parents, key=lambda p: len(p.parts)).parent
    return _label_all(paths, root, columns, where, lambda p: read_shard(p, root))


def _label_all(
    paths: Sequence[Path],
    root: Path,
    columns: Columns,
    where: Filter | None,
    read: Callable[[Path], Records],
) -> LabelledImages:
    parts = [(read(path), _split_of_file(path, root)) for path in paths]
    name = str(paths[0] if len(paths) == 1 else root)
    return label_all(parts, columns, where, name)


def _split_of_file(path: Path, root: Path) -> str:
    """Read the split off names such as ``test.parquet``, ``train-00000-of-00002.parquet``.

    A file whose name says nothing is in the split that its folder is named after.
    """
    stem = path.name.lower().partition(".")[0]
    head = stem.replace("_", "-").partition("-")[0].rstrip("0123456789")
    above = "" if path.parent == root else path.parent.name
    return split_of(stem) or split_of(head) or split_of(above) or ""


def _manifests_in(folder: Path) -> list[Path]:
    """Return the manifests that make a folder a data set.

    These are ``metadata.*``, also in folders of splits, Parquet files, or text manifests named
    after splits where no folder is; the same in a folder ``data``, as hubs lay them out. Other
    tables beside class folders are not data sets.
    """
    for place in (folder, folder / "data"):
        if not place.is_dir():
            continue
        splits = sorted(p for p in place.iterdir() if p.is_dir() and split_of(p.name))
        described = [p for d in (place, *splits) for p in _tables(d) if p.stem == "metadata"]
        parquet = [p for p in _tables(place) if p.suffix.lower() == ".parquet"]
        named = [p for p in _tables(place) if not splits and _split_of_file(p, place)]
        if found := described or [p for p in parquet if p in named] or parquet or named:
            return found
    return []


def _tables(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return [p for p in files if p.suffix.lower() in MANIFEST_SUFFIXES]
