"""A folder of images, with or without tables in it, as one data set.

It knows in which order folders and tables are asked, and decides nothing between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.asked import Asked, refuse_columns
from cliptune.images.export_files import find_annotations, name_annotated, read_annotations
from cliptune.images.folders import read_image_folder
from cliptune.images.reading import Ignored, Reading
from cliptune.images.records import LabelledImages, settle_lists
from cliptune.images.side_tables import Beside, weigh_tables
from cliptune.images.table_paths import ImageIndex
from cliptune.images.table_search import NamedImages, find_tables, read_named_images
from cliptune.images.tree import Tree, list_tree

__all__ = ["other_files", "read_bare_names", "read_folder"]

_OTHER_TABLES = frozenset([".xlsx", ".xls", ".ods", ".gz"])


def read_folder(tree: Tree, asked: Asked) -> LabelledImages:
    """Read the images below a folder, labelled by their folders or by tables among them.

    Args:
        tree: The folder.
        asked: How the user wants it read.

    Raises:
        DataError: It can be read in two ways, or contradicts itself.
        InputError: An option does not fit.
    """
    folders: LabelledImages | None = None
    refusal: DataError | None = None
    try:
        folders = read_image_folder(tree, asked.folders)
    except DataError as error:
        refusal = error
    files = find_annotations(tree), find_tables(tree)
    named, unread = _read_tables(tree, asked, folders, *files) if any(files) else ([], [])
    if folders is not None and not named and asked.labels_from is None:
        refuse_columns(tree.root, asked)
        reading = folders.reading or Reading("a folder of images")
        used = {table.example for table in unread}
        return replace(folders, reading=reading.add(ignored=[*unread, *other_files(tree, used)]))
    if not named:
        if refusal is not None:
            raise refusal
        refuse_columns(tree.root, asked)
    every = list(tree.top.image_paths())
    beside = Beside(
        tree.root, every, folders, refusal, named, column_named=asked.columns.label is not None
    )
    images = weigh_tables(beside, asked.labels_from)
    reading = images.reading or Reading("a folder of images")
    used = {table.path for table in named} | {table.example for table in unread}
    return replace(images, reading=reading.add(ignored=[*unread, *other_files(tree, used)]))


def other_files(tree: Tree, used: Collection[str]) -> list[Ignored]:
    """Count the files that are neither images nor used otherwise, by their suffixes.

    Args:
        tree: A folder.
        used: Files that are read, relative to it.
    """
    paths = (f"{f.path}/{name}".lstrip("/") for f in tree.top.walk() for name in f.files)
    others = [path for path in paths if path not in used]
    if not others:
        return []
    kinds = Counter(Path(path).suffix.lower() or "no suffix" for path in others)
    listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(4))
    if kinds.keys() & _OTHER_TABLES:
        listed += "; tables are read as CSV, TSV, JSON or Parquet"
    return [Ignored(len(others), "files that are no images", others[0], listed)]


def read_bare_names(table: Path, asked: Asked) -> LabelledImages | None:
    """Read a table whose images are named without their folder or their suffix.

    Args:
        table: The file; its images lie anywhere below its folder.
        asked: How the user wants it read.

    Returns:
        The images; nothing where one of the names is of none, or the names are paths.
    """
    tree = list_tree(table.parent)
    index = ImageIndex(tree.top.image_paths())
    try:
        found = read_named_images(tree, table.name, index, asked.columns, asked.where)
    except DataError:
        return None
    if isinstance(found, str) or found.ignored or not found.are_bare:
        return None
    (images,) = settle_lists([found.images])
    if not images.n_labelled and images.captions is None:
        return None
    reading = images.reading or Reading("a table")
    note = f"{table.name} names images without their folders: they are found below it by name"
    return replace(images, reading=reading.add(notes=[note]))


def _read_tables(
    tree: Tree,
    asked: Asked,
    folders: LabelledImages | None,
    annotations: Sequence[str],
    tables: Sequence[str],
) -> tuple[list[NamedImages], list[Ignored]]:
    """Read the tables that name images, and say why others do not."""
    start = len(tree.root) + 1
    paths = (
        tree.top.image_paths()
        if folders is None
        else (source.location[start:] for source in folders.sources)
    )
    index = ImageIndex(paths)
    named: list[NamedImages] = []
    unread: list[Ignored] = []
    for file in annotations:
        annotated = read_annotations(Path(tree.root) / file)
        if annotated is not None:
            tables = [table for table in tables if table != file]
            export = name_annotated(
                tree, file, annotated, index, confidence=asked.columns.confidence
            )
            if export.paths:
                named.append(export)
            else:
                unread.append(
                    Ignored(1, "files of annotations", file, "none of its images is here")
                )
    for table in tables:
        found = read_named_images(tree, table, index, asked.columns, asked.where)
        if isinstance(found, str):
            unread.append(Ignored(1, "tables", table, found))
        else:
            named.append(found)
    return named, unread
