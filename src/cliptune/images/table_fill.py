"""What tables add to images that folders label already: labels, captions, groups, splits.

It knows rows and paths; whether tables and folders agree was found out before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cliptune.images.confidence import Confidence
from cliptune.images.number_forms import in_class_order, read_numbers
from cliptune.images.reading import Reading
from cliptune.images.records import LabelledImages
from cliptune.images.table_search import NamedImages

__all__ = ["fill_from_tables", "gather_captions", "gather_confidence", "gather_groups"]


def fill_from_tables(
    folders: LabelledImages, row_of: Mapping[str, int], tables: Sequence[NamedImages], note: str
) -> LabelledImages:
    """Keep the folders' labels, and take from tables those of images that have none.

    Args:
        folders: N images as their folders label them.
        row_of: From an image's path to its row in them.
        tables: Tables that say the same in their own words.
        note: What was found out, for the reading.
    """
    word_of = _words_of_folders(folders, row_of, tables)
    folder_of = {word: folder for folder, word in word_of.items()}
    better = _words_for_numbers(word_of)
    labels = [None if label is None else better.get(label, label) for label in folders.labels]
    splits, n_filled = list(folders.splits), 0
    for table in tables:
        images = table.images
        for path, label, split in zip(table.paths, images.labels, images.splits, strict=True):
            row = row_of[path]
            splits[row] = split or splits[row]
            if labels[row] is None and label is not None:
                folder = folder_of.get(label, label)
                labels[row] = better.get(folder, folder)
                n_filled += 1
    classes = {better.get(c, c) for c in folders.classes or ()}
    notes = [note, *([f"{n_filled} images have their label from it alone"] if n_filled else [])]
    if better:
        folder, word = next(iter(better.items()))
        notes.append(
            f"its words stand in the place of folders that are numbers: {folder!r} is {word!r}"
        )
    if new := sorted({label for label in labels if label is not None} - classes):
        notes.append(f"{len(new)} classes are in no folder: {', '.join(new[:4])}")
    reading = (folders.reading or Reading("class folders")).add(
        notes=notes, ignored=[i for table in tables for i in table.ignored]
    )
    return replace(
        folders,
        labels=labels,
        splits=splits,
        classes=in_class_order(classes | {label for label in labels if label is not None}),
        captions=gather_captions(tables, row_of, len(labels)),
        groups=gather_groups(tables, row_of, len(labels)),
        confidence=gather_confidence(tables, row_of, len(labels)),
        reading=reading,
    )


def _words_of_folders(
    folders: LabelledImages, row_of: Mapping[str, int], tables: Sequence[NamedImages]
) -> dict[str, str]:
    """Return from a folder's label to the table's word for it."""
    return {
        folder: label
        for table in tables
        for path, label in zip(table.paths, table.images.labels, strict=True)
        if label is not None and (folder := folders.labels[row_of[path]]) is not None
    }


def _words_for_numbers(word_of: Mapping[str, str]) -> Mapping[str, str]:
    """Return the words that a table has for folders whose names are numbers."""
    are_numbers = [len(v) > 1 and read_numbers(v) is not None for v in (word_of, word_of.values())]
    return word_of if are_numbers == [True, False] else {}


def gather_captions(
    tables: Sequence[NamedImages], row_of: Mapping[str, int], n: int
) -> list[tuple[str, ...]] | None:
    """Return the captions that tables have for each of N images; nothing where none has any."""
    if all(table.images.captions is None for table in tables):
        return None
    captions: list[tuple[str, ...]] = [()] * n
    for table in tables:
        for path, texts in zip(table.paths, table.images.captions or (), strict=False):
            if path in row_of:
                captions[row_of[path]] += texts
    return captions


def gather_groups(
    tables: Sequence[NamedImages], row_of: Mapping[str, int], n: int
) -> list[str] | None:
    """Return the group that tables give each of N images; nothing where none gives any."""
    if all(table.images.groups is None for table in tables):
        return None
    groups = [""] * n
    for table in tables:
        for path, group in zip(table.paths, table.images.groups or (), strict=False):
            if path in row_of:
                groups[row_of[path]] = group
    return groups


def gather_confidence(
    tables: Sequence[NamedImages], row_of: Mapping[str, int], n: int
) -> list[Confidence] | None:
    """Return how sure tables say that each of N labels is; nothing where none says it."""
    if all(table.images.confidence is None for table in tables):
        return None
    found: list[Confidence] = [None] * n
    for table in tables:
        for path, one in zip(table.paths, table.images.confidence or (), strict=False):
            if path in row_of:
                found[row_of[path]] = one
    return found
