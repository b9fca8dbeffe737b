"""From a manifest's columns to labels, splits and captions.

It knows the words that data sets use for columns, and no file formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cliptune.errors import DataError, InputError
from cliptune.images.label_values import read_labels
from cliptune.images.records import (
    Columns,
    Filter,
    LabelledImages,
    Records,
    join_splits,
    split_of,
)
from cliptune.plain_text import require_text

__all__ = ["label_all", "label_images"]

_IMAGE_NAMES = (
    *("image", "img", "image_path", "image_file", "path", "file", "filename", "file_name"),
    *("filepath", "file_path", "images", "picture", "photo", "jpg", "png"),
)
_LABEL_NAMES = (
    *("label", "labels", "cls", "class", "category", "target", "y", "class_name", "fine_label"),
)
_CAPTION_NAMES = ("captions", "caption", "text", "txt", "sentences")
_SPLIT_NAMES = ("split", "partition", "subset")


def label_all(
    parts: Sequence[tuple[Records, str]], columns: Columns, where: Filter | None, name: str
) -> LabelledImages:
    """Label the manifests of one data set and put them together.

    Args:
        parts: Manifests, each with the split of those rows that name none.
        columns: Which columns hold what.
        where: Keep only rows whose cell in each of these columns is one of the values.
        name: What to call the data set in messages.

    Raises:
        DataError: A column is missing, or labels and names contradict each other.
        InputError: ``where`` names a column or a value that is not there.
    """
    _check_filter([records for records, _ in parts], where or {}, name)
    labelled = [label_images(records, columns, split, where) for records, split in parts]
    return join_splits(labelled, name) if len(labelled) > 1 else labelled[0]


def _check_filter(parts: Sequence[Records], where: Filter, name: str) -> None:
    """Look for values in all files together: one of many may well lack some."""
    for column, wanted in where.items():
        found: set[str] = set()
        for records in parts:
            if column not in records.columns:
                raise InputError(
                    f"{records.name!r} has no column {column!r} to filter by; its columns are: "
                    f"{', '.join(records.columns)}"
                )
            found.update(str(cell) for cell in records.read_column(column))
        absent = sorted(set(wanted) - found)
        if absent:
            raise InputError(
                f"no row of {name!r} has {column} {absent[0]!r}; there is: "
                f"{', '.join(sorted(found)[:20])}"
            )


def label_images(
    records: Records,
    columns: Columns,
    split: str = "",
    where: Filter | None = None,
) -> LabelledImages:
    """Find the columns of a manifest and read labels, splits and captions.

    Args:
        records: The manifest.
        columns: Which columns hold what.
        split: The split of rows that name none.
        where: Keep only rows whose cell in each of these columns is one of the values.

    Raises:
        DataError: A column is missing, or labels and names contradict each other.
    """
    image = _find(records, columns.image, _IMAGE_NAMES, "image")
    if image is None:
        raise _missing(records, "image")
    caption = _find(records, columns.caption, _CAPTION_NAMES, "caption")
    label = _find(records, columns.label, _LABEL_NAMES, "label") or _only_class_label(records)
    if label is None and caption is None and len(records.columns) > 1:
        raise _missing(records, "label")
    labels, classes, numbered = read_labels(records, label)
    captions = [_as_texts(c) for c in records.read_column(caption)] if caption else None
    images = LabelledImages(
        sources=records.read_sources(image),
        labels=labels,
        splits=_read_splits(records, split),
        classes=classes,
        numbered=numbered,
        captions=captions,
    )
    return _merge_repeats(_keep_rows(images, _matching_rows(records, where)), records.name)


def _find(records: Records, asked: str | None, usual: tuple[str, ...], kind: str) -> str | None:
    if asked is not None:
        if asked not in records.columns:
            raise DataError(
                f"{records.name!r} has no column {asked!r}; its columns are: "
                f"{', '.join(records.columns)}; name the {kind} column with --{kind}-column"
            )
        return asked
    by_lower = {name.strip().lower(): name for name in records.columns}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def _missing(records: Records, kind: str) -> DataError:
    return DataError(
        f"{records.name!r} has no {kind} column by a usual name; its columns are: "
        f"{', '.join(records.columns)}; name it with --{kind}-column"
    )


def _only_class_label(records: Records) -> str | None:
    return next(iter(records.label_names)) if len(records.label_names) == 1 else None


def _read_splits(records: Records, default: str) -> list[str]:
    column = _find(records, None, _SPLIT_NAMES, "split")
    if column is None:
        return [default] * records.n_rows
    splits = []
    for row, cell in enumerate(records.read_column(column)):
        name = str(cell).strip() if cell is not None else ""
        split = split_of(name) if name else default
        if split is None:
            raise DataError(
                f"row {row} of {records.name!r} has the split {name!r}; expected train, val or test"
            )
        splits.append(split)
    return splits


def _as_texts(cell: Any) -> tuple[str, ...]:  # Any: a cell as the file has it
    cells = cell if isinstance(cell, (list, tuple)) else [cell]
    texts = tuple(str(text).strip() for text in cells if text is not None and str(text).strip())
    for text in texts:
        require_text(text, "the caption")
    return texts


def _matching_rows(records: Records, where: Filter | None) -> list[int] | None:
    if not where:
        return None
    rows = list(range(records.n_rows))
    for column, wanted in where.items():
        cells = [str(cell) for cell in records.read_column(column)]
        rows = [row for row in rows if cells[row] in wanted]
    return rows


def _keep_rows(images: LabelledImages, rows: list[int] | None) -> LabelledImages:
    if rows is None:
        return images
    return LabelledImages(
        sources=[images.sources[r] for r in rows],
        labels=[images.labels[r] for r in rows],
        splits=[images.splits[r] for r in rows],
        classes=images.classes,
        numbered=images.numbered,
        captions=None if images.captions is None else [images.captions[r] for r in rows],
    )


def _merge_repeats(images: LabelledImages, name: str) -> LabelledImages:
    """Gather the captions of an image that has a row for each; refuse other repeated rows."""
    first: dict[str, int] = {}
    captions = None if images.captions is None else list(images.captions)
    for row, source in enumerate(images.sources):
        earlier = first.setdefault(source.id, row)
        if earlier == row:
            continue
        same = (images.labels[row], images.splits[row]) == (
            images.labels[earlier],
            images.splits[earlier],
        )
        if captions is None or not same:
            raise DataError(
                f"{name!r} lists the image {source.id!r} in rows {earlier} and {row}; "
                "keep one of them"
            )
        captions[earlier] += captions[row]
    if len(first) == len(images.sources):
        return images
    merged = LabelledImages(
        images.sources, images.labels, images.splits, images.classes, images.numbered, captions
    )
    return _keep_rows(merged, list(first.values()))
