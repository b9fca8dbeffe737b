"""From what the user calls DATA to labelled images, whichever kind of data set it is.

It knows which reader takes what, and nothing about what the readers do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cliptune.catalog import find_dataset
from cliptune.errors import DataError, InputError, UnavailableError
from cliptune.images.archives import holds_class_folders, read_tar_tree, read_zip
from cliptune.images.asked import Asked, refuse_columns, refuse_folder_options
from cliptune.images.export_files import name_annotated, read_annotations
from cliptune.images.exports import Annotated, tree_readers
from cliptune.images.exports.tfrecord import read_files
from cliptune.images.folder_data import other_files, read_bare_names, read_folder
from cliptune.images.labelling import label_all
from cliptune.images.manifests import (
    MANIFEST_SUFFIXES,
    TABLE_SUFFIXES,
    holds_images,
    read_manifest,
)
from cliptune.images.parquet_rows import BatchCache
from cliptune.images.reading import Reading
from cliptune.images.records import LabelledImages, Records
from cliptune.images.remote import copy_remote, is_remote
from cliptune.images.shards import expand_braces, find_shards, is_shard, read_shard, root_of
from cliptune.images.sources import FileSource
from cliptune.images.table_paths import ImageIndex
from cliptune.images.table_search import SAVED_DATASET_FILES, find_tables, split_of_file
from cliptune.images.tfrecords import is_tfrecord
from cliptune.images.tree import Tree, list_tree

__all__ = ["read_data"]

_ARCHIVES = (".zip", ".tar.gz", ".tgz", ".rar", ".7z")

Progress = Callable[[int, int], None]


def read_data(
    data: str | Path, asked: Asked, *, progress: Progress | None = None
) -> LabelledImages:
    """Read a folder, a manifest, shards, a data set of a hub, or one that has a name.

    Args:
        data: What the user calls it.
        asked: How the user wants it read.
        progress: Called with (bytes so far, bytes in all) while a named set is fetched.

    Raises:
        InputError: There is nothing of this name, or nothing that is known.
        DataError: It holds no images, or labels and files are at odds.
        UnavailableError: It has to be fetched and cannot be.
    """
    if str(data).startswith("hf:"):
        from cliptune.images.hub import read_hub

        refuse_folder_options(str(data), asked)
        return read_hub(str(data), asked.columns, asked.where)
    try:
        images = _read_local(data, asked, progress)
        if asked.columns.group is not None and images.groups is None:
            raise InputError(
                f"--group-column {asked.columns.group} came, but no table of {str(data)!r} has "
                "this column; name another, or use --group-pattern"
            )
        if asked.columns.confidence is not None and images.confidence is None:
            raise InputError(
                f"--label-confidence {asked.columns.confidence} came, but no table of "
                f"{str(data)!r} has this column"
            )
        return images
    except UnavailableError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnavailableError(f"cannot read {str(error.filename or data)!r} ({reason})") from error


def _read_local(data: str | Path, asked: Asked, progress: Progress | None) -> LabelledImages:
    text, path = str(data), Path(data)
    if is_remote(text):
        return _read_path(copy_remote(text, progress=progress), asked)
    if _is_there(path):
        return _read_path(path, asked)
    if "{" in text:
        return _read_shards(expand_braces(text), asked)
    if isinstance(data, Path) or len(path.parts) != 1 or path.suffix:
        raise InputError(f"there is no file or folder {text!r}; check the path")
    located = find_dataset(text, progress=progress)
    if located.files is None:
        return _read_path(located.path, asked)
    refuse_columns(text, asked)
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


def _read_path(path: Path, asked: Asked) -> LabelledImages:
    if path.is_file():
        return _read_file(path, asked)
    if parquet := _parquet_in(path):
        cache = BatchCache()
        return _label_all(parquet, path, asked, lambda p: read_manifest(p, path, cache))
    tree = list_tree(path)
    for reader in tree_readers():
        if (images := reader.read(tree, asked)) is not None:
            return images
    if tree.top.n_images or tree.outside:
        return read_folder(tree, asked)
    if shards := find_shards(path):
        images = _read_shards(shards, asked)
        return _add_ignored(images, tree, {shard.relative_to(path).as_posix() for shard in shards})
    if tables := find_tables(tree):
        cache, files = BatchCache(), [path / table for table in tables]
        return _label_all(files, path, asked, lambda p: read_manifest(p, path, cache))
    raise DataError(
        f"{str(path)!r} holds no images; expected class folders with images, a manifest "
        f"({', '.join(MANIFEST_SUFFIXES)}) or .tar shards{_found_instead(tree)}"
    )


def _found_instead(tree: Tree) -> str:
    """Say what a folder without images holds that could be meant."""
    for folder in tree.top.walk():
        if any(name in SAVED_DATASET_FILES for name in folder.files):
            return f"; it holds a saved data set: name the folder {f'{tree.root}/{folder.path}'!r}"
        for name in folder.files:
            if name.lower().endswith(_ARCHIVES):
                return f"; it holds the archive {name!r}: unpack it, or name it if it is a .zip"
    return ""


def _read_file(path: Path, asked: Asked) -> LabelledImages:
    if path.suffix.lower() == ".zip":
        return read_zip(path, asked)
    if is_tfrecord(path.name):
        return read_files([path], path.parent, asked)
    if is_shard(path):
        if holds_class_folders(path):
            return read_tar_tree(path, asked)
        return _read_shards([path], asked)
    if (annotated := read_annotations(path)) is not None:
        return _read_export(path, annotated, asked)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(
            f"{str(path)!r} is no data set; expected a folder, a manifest "
            f"({', '.join(MANIFEST_SUFFIXES)}) or .tar shards"
        )
    refuse_folder_options(str(path), asked)
    cache, root = BatchCache(), path.parent
    try:
        return _label_all([path], root, asked, lambda p: read_manifest(p, root, cache))
    except DataError:
        images = read_bare_names(path, asked)
        if images is None:
            raise
        return images


def _add_ignored(images: LabelledImages, tree: Tree, used: Collection[str]) -> LabelledImages:
    reading = images.reading or Reading("shards")
    return replace(images, reading=reading.add(ignored=other_files(tree, used)))


def _read_export(path: Path, annotated: Annotated, asked: Asked) -> LabelledImages:
    """Read what a file of annotations says of the images that lie with it."""
    refuse_columns(str(path), asked)
    refuse_folder_options(str(path), asked)
    tree = list_tree(path.parent)
    index = ImageIndex(tree.top.image_paths())
    named = name_annotated(tree, path.name, annotated, index, confidence=asked.columns.confidence)
    if not named.paths:
        example = annotated.images[0] if annotated.images else ""
        raise DataError(
            f"none of the {len(annotated.images)} images of {str(path)!r}, such as {example!r}, "
            f"lies below {tree.root!r}; put them there"
        )
    reading = named.images.reading or Reading(annotated.layout)
    return replace(named.images, reading=reading.add(ignored=named.ignored))


def _read_shards(paths: Sequence[Path], asked: Asked) -> LabelledImages:
    root = root_of(paths)
    refuse_folder_options(str(root), asked)
    image = asked.columns.image if asked.columns.image != "image" else None
    columns = replace(asked.columns, image="image")
    asked = replace(asked, columns=columns)
    return _label_all(paths, root, asked, lambda p: read_shard(p, root, image))


def _label_all(
    paths: Sequence[Path], root: Path, asked: Asked, read: Callable[[Path], Records]
) -> LabelledImages:
    parts = [(read(path), split_of_file(path, root)) for path in paths]
    name = str(paths[0] if len(paths) == 1 else root)
    return label_all(parts, asked.columns, asked.where, name)


def _parquet_in(folder: Path) -> list[Path]:
    """Return the Parquet files with pictures in a folder, or in a folder ``data`` as hubs have."""
    for place in (folder, folder / "data"):
        if place.is_dir():
            files = sorted(p for p in place.iterdir() if p.suffix.lower() == ".parquet")
            files = [p for p in files if p.is_file() and p.name[0] != "." and holds_images(p)]
            if named := [p for p in files if split_of_file(p, place)]:
                return named
            if files:
                return files
    return []
