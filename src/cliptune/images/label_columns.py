"""Which column of a manifest holds what, by the words that data sets use.

It knows names of columns and what their cells look like, and no file formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cliptune.errors import DataError
from cliptune.images.label_values import Labels, read_labels, read_one_hot
from cliptune.images.records import VIEWS, Columns, Records

__all__ = [
    "CAPTION_NAMES",
    "IMAGE_NAMES",
    "SPLIT_NAMES",
    "find_column",
    "label_column",
    "possible_label_columns",
    "read_label_columns",
]

IMAGE_NAMES = (
    *("image", "img", "image_path", "image_file", "path", "file", "filename", "file_name"),
    *("filepath", "file_path", "images", "picture", "photo", "jpg", "jpeg", "png", "webp"),
    *("image_name", "img_name", "img_path", "fname", "relpath"),
)
_LABEL_NAMES = (
    *("label", "labels", "cls", "class", "category", "target", "y", "class_name", "fine_label"),
    *("categories", "classes", "targets", "tag", "tags", "label_name", "category_name"),
    *("class_id", "label_id", "category_id", "ground_truth", "gt"),
)
CAPTION_NAMES = ("captions", "caption", "text", "txt", "sentences")
SPLIT_NAMES = ("split", "partition", "subset")
# Facts of a file that are nobody's classes, whatever their values.
_FACTS = frozenset(
    [
        "width",
        "height",
        "size",
        "bytes",
        "md5",
        "sha1",
        "sha256",
        "hash",
        "url",
        "date",
        "time",
        "timestamp",
        "index",
        "id",
        "score",
        "weight",
        "format",
        "mode",
        "source",
        "license",
        "author",
        "confidence",
    ]
)


def find_column(
    records: Records, asked: str | None, usual: tuple[str, ...], kind: str
) -> str | None:
    """Return the column of the user's word, or else the first of the usual names that is there.

    Raises:
        DataError: There is no column of the user's word.
    """
    if asked is not None:
        if asked not in records.columns:
            raise DataError(
                f"{records.name!r} has no column {asked!r}; its columns are: "
                f"{', '.join(records.columns)}; name the {kind} column with --{kind}-column"
            )
        return asked
    by_lower = {name.strip().lower(): name for name in records.columns}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def read_label_columns(
    records: Records, columns: Columns, image: str, caption: str | None = None
) -> Labels | None:
    """Find what says the labels of a manifest: a column, or a column for each class.

    Args:
        records: The manifest.
        columns: Which columns the user named.
        image: The column of images.
        caption: The column of captions.

    Returns:
        The labels; nothing where no column holds any.
    """
    column = label_column(records, columns)
    if column is not None:
        return read_labels(records, column)
    known = {VIEWS, image, caption, find_column(records, None, SPLIT_NAMES, "split"), columns.group}
    known.add(columns.confidence)
    rest = [name for name in records.columns if name not in known and name]
    if (one_hot := read_one_hot(records, rest)) is not None:
        return one_hot
    found = None if caption else _only_column_like_labels(records, rest)
    if found is None:
        return None
    labels = read_labels(records, found)
    note = f"the labels are in the column {found!r}, the only one that looks like labels"
    return replace(labels, notes=(*labels.notes, note))


def _only_column_like_labels(records: Records, columns: Sequence[str]) -> str | None:
    """Return the only column that repeats its cells, or of several the only one of words."""
    columns, repeating = _repeating(records, columns)
    if len(columns) == 1:
        return columns[0] if repeating else None
    words = _of_words(repeating)
    return words[0] if len(words) == 1 else None


def possible_label_columns(
    records: Records, columns: Columns, image: str, caption: str | None = None
) -> tuple[str, ...]:
    """Return the columns of words that could be labels, else those of numbers.

    Args:
        records: The manifest.
        columns: Which columns the user named.
        image: The column of images.
        caption: The column of captions.
    """
    split = find_column(records, None, SPLIT_NAMES, "split")
    known = {VIEWS, image, caption, split, columns.group, columns.confidence}
    _, repeating = _repeating(records, [c for c in records.columns if c and c not in known])
    few = {name: cells for name, cells in repeating.items() if _are_few(cells)}
    found = _of_words(repeating) or list(few)
    return tuple(sorted(found, key=lambda name: name.lower().endswith("id")))


def _repeating(
    records: Records, columns: Sequence[str]
) -> tuple[Sequence[str], Mapping[str, Sequence[str]]]:
    """Return the columns that may hold labels, and of these the cells of those that repeat some."""
    columns = [name for name in columns if name.strip().lower() not in _FACTS]
    repeating = {}
    for name in columns:
        cells = [str(cell).strip() for cell in records.read_column(name)]
        if len(set(cells)) < len(cells):
            repeating[name] = cells
    return columns, repeating


def _of_words(repeating: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        name
        for name, cells in repeating.items()
        if _are_few(cells)
        and not any(cell.replace(".", "").lstrip("-").isdigit() for cell in cells)
    ]


def _are_few(cells: Sequence[str]) -> bool:
    return 1 < len(set(cells)) <= max(2, len(cells) // 2)


def label_column(records: Records, columns: Columns) -> str | None:
    """Return the column of labels by the user's word, or by a usual name."""
    found = find_column(records, columns.label, _LABEL_NAMES, "label")
    return found or _only_class_label(records)


def _only_class_label(records: Records) -> str | None:
    return next(iter(records.label_names)) if len(records.label_names) == 1 else None
