"""Tables that lie with images: which of them name images, and by which column.

It knows tables and names of files, and does not decide between tables and folders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.label_columns import (
    CAPTION_NAMES,
    IMAGE_NAMES,
    find_column,
    label_column,
    possible_label_columns,
    read_label_columns,
)
from cliptune.images.labelling import label_images
from cliptune.images.manifests import TABLE_SUFFIXES, read_manifest
from cliptune.images.parquet_rows import BatchCache
from cliptune.images.reading import Ignored
from cliptune.images.records import Columns, Filter, LabelledImages, Records, Values
from cliptune.images.sources import FileSource, Source, readable
from cliptune.images.split_words import is_submission, split_in, split_of
from cliptune.images.table_paths import ImageIndex, Matches, match_cells, split_in_path
from cliptune.images.tree import Tree

__all__ = [
    "SAVED_DATASET_FILES",
    "NamedImages",
    "find_tables",
    "read_named_images",
    "split_of_file",
]

# What datasets' save_to_disk writes beside its Arrow files.
SAVED_DATASET_FILES = ("dataset_dict.json", "dataset_info.json", "state.json")
_ID_NAMES = ("image_id", "id", "name", "key", "uuid", "file_id", "itemid", "img_id")


@dataclass(frozen=True)
class NamedImages:
    """A table, and the images below a folder that it names.

    Attributes:
        path: The table, relative to the folder.
        paths: The images, one for each row of ``images``.
        images: What the table says of them.
        ignored: Rows that name no image.
        are_bare: Every row names its image without a folder.
        guessed: Which columns hold labels was told by their cells, not by a name.
        candidates: Columns that could be labels, where none is found by itself.
    """

    path: str
    paths: tuple[str, ...]
    images: LabelledImages
    ignored: tuple[Ignored, ...]
    are_bare: bool = False
    guessed: bool = False
    candidates: tuple[str, ...] = ()


def find_tables(tree: Tree) -> list[str]:
    """Return the tables of a tree, sorted, without forms to fill in."""
    return [
        f"{folder.path}/{name}".lstrip("/")
        for folder in tree.top.walk()
        for name in folder.files
        if Path(name).suffix.lower() in TABLE_SUFFIXES
        and not is_submission(name)
        and name not in SAVED_DATASET_FILES
    ]


def split_of_file(path: Path, root: Path) -> str:
    """Read the split off names such as ``test.parquet``, ``train-00000-of-00002.parquet``.

    A file whose name says nothing is in the split that its folder is named after.
    """
    stem = path.name.lower().partition(".")[0]
    head = stem.replace("_", "-").partition("-")[0].rstrip("0123456789")
    above = "" if path.parent == root else path.parent.name
    return split_of(stem) or split_of(head) or split_of(above) or split_in(path.stem) or ""


def read_named_images(
    tree: Tree, table: str, index: ImageIndex, columns: Columns, where: Filter | None
) -> NamedImages | str:
    """Read a table of images that lie below a folder.

    Args:
        tree: The folder.
        table: The table's path in it.
        index: The images in it that are to be found.
        columns: Which columns the user named.
        where: Keep only some rows.

    Returns:
        The images, or why it is no table of images.

    Raises:
        DataError: A row names two images, or one image has two rows.
    """
    root = Path(tree.root)
    try:
        records = read_manifest(root / table, root, BatchCache())
    except DataError as error:
        return str(error)
    asked = [c for c in (columns.label, columns.image, *(where or ())) if c is not None]
    if lacking := [column for column in asked if column not in records.columns]:
        return f"it has no column {lacking[0]!r} but: {', '.join(records.columns[:8])}"
    split = split_of_file(root / table, root)
    folder = table.rpartition("/")[0]
    found = _find_images(records, columns, index, folder, split)
    if found is None:
        return "none of its rows names an image that is here"
    column, matches = found
    if matches.twins is not None and not _says_anything(records, columns, column):
        return "it has no labels, and its rows name several images each"
    if matches.twins is not None:
        cell, one, other = matches.twins
        raise DataError(
            f"{table!r} of {tree.root!r} names {cell!r}, which is both {one!r} and {other!r}; "
            f"write paths, or leave a folder out with --folder {other.split('/')[0]}=ignore"
        )
    part = _rows_of(records, matches, tree.root)
    if columns.group is not None and columns.group not in records.columns:
        columns = replace(columns, group=None)
    images = label_images(part, replace(columns, image=column), split, where, may_lack_labels=True)
    path_of = dict(zip((f"{tree.root}/{p}" for p in matches.paths), matches.paths, strict=True))
    ignored = Ignored(
        len(matches.absent), f"rows of {table}", next(iter(matches.absent), ""), "no such image"
    )
    unlabelled = not images.n_labelled and images.captions is None
    return NamedImages(
        path=table,
        paths=tuple(path_of[source.location] for source in images.sources),
        images=_with_splits_of_paths(images, path_of),
        ignored=(ignored,) if matches.absent else (),
        guessed=label_column(records, columns) is None,
        are_bare=not any("/" in str(cell) for cell in records.read_column(column)),
        candidates=possible_label_columns(part, columns, column) if unlabelled else (),
    )


def _find_images(
    records: Records, columns: Columns, index: ImageIndex, folder: str, split: str
) -> tuple[str, Matches] | None:
    """Return the column that names most images: one by a usual name, or any other."""
    named = find_column(records, columns.image, IMAGE_NAMES, "image")
    usual = named or find_column(records, None, _ID_NAMES, "image")
    if usual is not None:
        matches = match_cells(records.read_column(usual), index, folder, split)
        if matches.rows or matches.twins:
            return usual, matches
    if named is not None:
        return None
    best: tuple[str, Matches] | None = None
    for name in records.columns:
        matches = match_cells(records.read_column(name), index, folder, split)
        if 2 * len(matches.rows) >= records.n_rows and (
            best is None or len(matches.rows) > len(best[1].rows)
        ):
            best = (name, matches)
    return best


def _says_anything(records: Records, columns: Columns, image: str) -> bool:
    caption = find_column(records, columns.caption, CAPTION_NAMES, "caption")
    return bool(caption) or read_label_columns(records, columns, image) is not None


def _rows_of(records: Records, matches: Matches, root: str) -> Records:
    """Return the rows whose image is there, with these images."""
    rows = matches.rows

    def read_column(name: str) -> Values:
        cells = records.read_column(name)
        return [cells[row] for row in rows]

    def read_sources(name: str) -> list[Source]:
        return [FileSource(readable(path), f"{root}/{path}") for path in matches.paths]

    return replace(records, n_rows=len(rows), read_column=read_column, read_sources=read_sources)


def _with_splits_of_paths(images: LabelledImages, path_of: dict[str, str]) -> LabelledImages:
    """Give rows without a split that of the folder their image is in."""
    splits = [
        split or split_in_path(path_of[source.location])
        for split, source in zip(images.splits, images.sources, strict=True)
    ]
    return replace(images, splits=splits)
