"""Files of annotations that lie with images: which are there, and which images they speak of.

It finds the reader of a file by what the file holds, and knows no formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cliptune.errors import DataError
from cliptune.images.confidence import VOTES
from cliptune.images.exports import Annotated, annotation_readers
from cliptune.images.reading import Ignored, Reading
from cliptune.images.records import LabelledImages
from cliptune.images.sources import FileSource, readable
from cliptune.images.split_words import split_of
from cliptune.images.table_paths import ImageIndex, match_cells, split_in_path
from cliptune.images.table_search import NamedImages, split_of_file
from cliptune.images.tree import Tree
from cliptune.system.json_files import parse_value

__all__ = ["find_annotations", "name_annotated", "read_annotations"]


def find_annotations(tree: Tree) -> list[str]:
    """Return the files of a tree that may be annotations, sorted."""
    suffixes = {reader.suffix for reader in annotation_readers()}
    return [
        f"{folder.path}/{name}".lstrip("/")
        for folder in tree.top.walk()
        for name in folder.files
        if Path(name).suffix.lower() in suffixes
    ]


def read_annotations(path: Path) -> Annotated | None:
    """Read a file of annotations by the first reader that knows it; nothing where none does.

    Raises:
        DataError: It is of a known format and damaged.
    """
    readers = [r for r in annotation_readers() if r.suffix == path.suffix.lower()]
    if not readers:
        return None
    value: Any = None  # Any: a JSON value of a stranger
    if path.suffix.lower() == ".json":
        try:
            value = parse_value(path.read_text(encoding="utf-8-sig"))
        except (ValueError, OSError):
            return None
    found = (reader.read(path, value) for reader in readers)
    return next((annotated for annotated in found if annotated is not None), None)


def name_annotated(
    tree: Tree,
    file: str,
    annotated: Annotated,
    index: ImageIndex,
    *,
    confidence: str | None = None,
) -> NamedImages:
    """Find the images that a file of annotations speaks of.

    Args:
        tree: The folder.
        file: The file's path in it.
        annotated: What it says.
        index: The images in the folder.
        confidence: The column that was asked for; an export has ``votes``.

    Raises:
        DataError: A name is of two images, or one image is named twice with other labels.
    """
    root = Path(tree.root)
    split = split_of_file(root / file, root)
    matches = match_cells(annotated.images, index, file.rpartition("/")[0], split)
    if matches.twins is not None:
        cell, one, other = matches.twins
        raise DataError(
            f"{file!r} of {tree.root!r} names {cell!r}, which is both {one!r} and {other!r}; leave "
            f"a folder out with --folder {other.split('/')[0]}=ignore"
        )
    rows = dict(_distinct(matches.rows, matches.paths, annotated, file))
    sets = [annotated.label_sets[row] for row in rows.values()]
    several = annotated.several or any(len(labels or ()) > 1 for labels in sets)
    splits = [
        (split_of(annotated.splits[row]) if annotated.splits else "") or split or split_in_path(p)
        for p, row in rows.items()
    ]
    ignored = [*annotated.ignored]
    if matches.absent:
        ignored.append(
            Ignored(len(matches.absent), f"images of {file}", matches.absent[0], "not here")
        )
    images = LabelledImages(
        sources=[FileSource(readable(p), f"{tree.root}/{p}") for p in rows],
        labels=[None if several or not labels else labels[0] for labels in sets],
        splits=[str(s) for s in splits],
        classes=annotated.classes,
        label_sets=sets if several else None,
        confidence=[annotated.votes[row] for row in rows.values()]
        if confidence == VOTES and annotated.votes is not None
        else None,
        reading=Reading(
            layout=f"{annotated.layout} ({file})",
            labels_from=f"the annotations of {file}",
            notes=annotated.notes,
        ),
    )
    return NamedImages(file, tuple(rows), images, tuple(ignored))


def _distinct(
    rows: tuple[int, ...], paths: tuple[str, ...], annotated: Annotated, file: str
) -> Iterator[tuple[str, int]]:
    first: dict[str, int] = {}
    for row, path in zip(rows, paths, strict=True):
        earlier = first.setdefault(path, row)
        if earlier != row and annotated.label_sets[earlier] != annotated.label_sets[row]:
            labels = (annotated.label_sets[earlier], annotated.label_sets[row])
            raise DataError(
                f"{file!r} lists the image {path!r} twice, with the labels {labels[0]!r} and "
                f"{labels[1]!r}; keep one of them"
            )
        if earlier == row:
            yield path, row
