"""Images in class folders, with or without folders for splits above them.

It knows names and places of files, never their contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.layouts import Arrangement, Part, arrange
from cliptune.images.number_forms import in_class_order, read_numbers
from cliptune.images.reading import Ignored, Reading
from cliptune.images.records import LabelledImages
from cliptune.images.roles import FolderOptions
from cliptune.images.sources import FileSources, Source
from cliptune.images.tree import Folder, Tree, list_tree, report_outside

__all__ = ["list_images", "read_image_folder", "refuse_tables"]

_TABLES = ("csv", "tsv", "json", "jsonl", "parquet", "xml")


def read_image_folder(
    tree: Tree, options: FolderOptions, source_of: Callable[[str], Source] | None = None
) -> LabelledImages | None:
    """Label the images of a tree by the folders they are in.

    Args:
        tree: What lies below a folder: class folders, or splits with class folders in them, by
            any of the words that people use.
        options: What the user said of the folders.
        source_of: From an image's path to where its bytes are; files of the folder otherwise.

    Returns:
        The images, split by split and sorted by path; nothing when there is none.

    Raises:
        DataError: Images lie beside class folders, or folders can be read in two ways.
        InputError: The options do not fit.
    """
    report_outside(tree, tree.top.n_images > 0)
    if not tree.top.n_images:
        return None
    found = arrange(tree.top, options, tree.root)
    folders = list[tuple[str, list[str]]]()
    labels, splits = list[str | None](), list[str]()
    for part in found.parts:
        for folder, label in _folders_of(part):
            folders.append((folder.path, folder.images))
            labels += [label] * len(folder.images)
            splits += [part.split] * len(folder.images)
    files = FileSources(tree.root, folders)
    sources: Sequence[Source] = (
        files if source_of is None else [source_of(path) for path in files.paths()]
    )
    classes = in_class_order({c for c in labels if c is not None} | set(found.empty))
    return LabelledImages(
        sources=sources,
        labels=labels,
        splits=splits,
        classes=classes,
        reading=_describe(tree, found, classes, len(labels)),
    )


def refuse_tables(tree: Tree, images: LabelledImages, remedy: str) -> None:
    """Make sure that no table which nobody reads may hold the labels.

    Args:
        tree: What lies below a folder.
        images: Its images as their folders label them.
        remedy: Why tables are not read there, and what to do.

    Raises:
        DataError: There is a table, and there are fewer than two class folders.
    """
    tables = (n for n in tree.top.other_paths() if n.rpartition(".")[2].lower() in _TABLES)
    first = next(tables, None)
    if first is not None and len({label for label in images.labels if label is not None}) < 2:
        raise DataError(
            f"{tree.root!r} has fewer than two class folders, and {first!r}, which may hold the "
            f"labels; {remedy}"
        )


def list_images(root: Path) -> list[str]:
    """Return the paths of all images below a folder, sorted and relative to it.

    Hidden files and links out of the tree are passed over, as in ``read_image_folder``.
    """
    tree = list_tree(root)
    report_outside(tree, tree.top.n_images > 0)
    return list(tree.top.image_paths())


def _folders_of(part: Part) -> Iterator[tuple[Folder, str | None]]:
    for folder in part.flat:
        yield folder, None
    for label, top in part.classes:
        for folder in top.walk():
            if folder.images:
                yield folder, label


def _describe(tree: Tree, found: Arrangement, classes: tuple[str, ...], n_read: int) -> Reading:
    notes = list(found.notes)
    ignored = list(found.ignored)
    if len(classes) > 1 and read_numbers(classes) is not None:
        notes.append("classes are numbered and stand in the order of their numbers")
    if tree.outside:
        ignored.append(Ignored(len(tree.outside), "links out of the folder", tree.outside[0]))
    if tree.loops:
        ignored.append(Ignored(len(tree.loops), "links to folders above them", tree.loops[0]))
    if tree.n_hidden:
        ignored.append(Ignored(tree.n_hidden, "hidden files or folders", ""))
    left = (
        tree.top.n_images - n_read - sum(i.n for i in found.ignored if i.what.startswith("image"))
    )
    if left > 0:
        ignored.append(Ignored(left, "images in no class folder", tree.root))
    labelled = any(part.classes for part in found.parts)
    return Reading(
        layout=found.layout,
        labels_from="the names of folders" if labelled else "",
        notes=tuple(notes),
        ignored=tuple(ignored),
    )
