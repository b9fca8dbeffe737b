"""From what the user calls DATA to labelled images, whichever kind of data set it is.

It knows which reader takes what, and nothing about what the readers do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cliptune.errors import DataError, InputError
from cliptune.images.folders import read_image_folder
from cliptune.images.manifests import MANIFEST_SUFFIXES, read_manifest
from cliptune.images.parquet_rows import BatchCache
from cliptune.images.records import Columns, LabelledImages, join_splits, label_images, split_of

__all__ = ["Filter", "read_data"]

Filter = Mapping[str, Sequence[str]]


def read_data(path: Path, columns: Columns, where: Filter | None) -> LabelledImages:
    """Read a folder or a manifest.

    Raises:
        InputError: There is nothing at ``path``, or nothing that is known.
        DataError: It holds no images, or labels and files are at odds.
    """
    if path.is_file():
        return _read_file(path, columns, where)
    if not path.is_dir():
        raise InputError(f"there is no file or folder {str(path)!r}; check the path")
    manifests = _manifests_in(path)
    if manifests:
        return _read_manifests(manifests, path, columns, where)
    images = read_image_folder(path)
    if images is None:
        raise DataError(
            f"{str(path)!r} holds no images; expected class folders with images, a manifest "
            f"({', '.join(MANIFEST_SUFFIXES)}) or .tar shards"
        )
    if where:
        raise InputError(f"{str(path)!r} has no columns to filter by; filters need a manifest")
    return images


def _read_file(path: Path, columns: Columns, where: Filter | None) -> LabelledImages:
    if path.suffix.lower() not in MANIFEST_SUFFIXES:
        raise InputError(
            f"{str(path)!r} is no manifest; expected a folder or a file ending in "
            f"{', '.join(MANIFEST_SUFFIXES)}"
        )
    return _read_manifests([path], path.parent, columns, where)


def _read_manifests(
    paths: Sequence[Path], root: Path, columns: Columns, where: Filter | None
) -> LabelledImages:
    cache = BatchCache()
    parts = []
    for path in paths:
        records = read_manifest(path, root, cache)
        parts.append(label_images(records, columns, split=_split_of_file(path), where=where))
    return join_splits(parts, str(root)) if len(parts) > 1 else parts[0]


def _split_of_file(path: Path) -> str:
    """Read the split off names such as ``test.parquet`` and ``train-00000-of-00002.parquet``."""
    stem = path.stem.lower()
    head = stem.partition("-")[0].rstrip("_0123456789")
    return split_of(stem) or split_of(head) or ""


def _manifests_in(folder: Path) -> list[Path]:
    """Return the manifests that make a folder a data set.

    These are ``metadata.*``, files named after splits, or any Parquet files, also in a folder
    ``data`` as hubs lay them out. Other tables beside class folders are not data sets.
    """
    for place in (folder, folder / "data"):
        if not place.is_dir():
            continue
        files = sorted(p for p in place.iterdir() if not p.name.startswith(".") and p.is_file())
        tables = [p for p in files if p.suffix.lower() in MANIFEST_SUFFIXES]
        described = [p for p in tables if p.stem.lower() == "metadata"]
        split = [p for p in tables if _split_of_file(p)]
        parquet = [p for p in tables if p.suffix.lower() == ".parquet"]
        if described or split or parquet:
            return described or split or parquet
    return []
