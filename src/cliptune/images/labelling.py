"""From a manifest's columns to labels, splits and captions.

It knows the words that data sets use for columns, and no file formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cliptune.errors import DataError, InputError
from cliptune.images.confidence import read_confidence
from cliptune.images.label_columns import (
    CAPTION_NAMES,
    IMAGE_NAMES,
    SPLIT_NAMES,
    find_column,
    label_column,
    read_label_columns,
)
from cliptune.images.label_values import Labels
from cliptune.images.reading import Reading
from cliptune.images.records import (
    VIEWS,
    Columns,
    Filter,
    LabelledImages,
    Records,
    join_splits,
    settle_lists,
)
from cliptune.images.split_words import split_of
from cliptune.system.plain_text import require_text

__all__ = ["label_all", "label_images", "merge_repeats"]


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
    labelled = settle_lists(labelled)
    if len(labelled) == 1:
        return labelled[0]
    joined = join_splits(labelled, name)
    if joined.reading is None:
        return joined
    names = [Path(records.name).name for records, _ in parts]
    listed = ", ".join(names[:3]) + (f", ... {names[-1]}" if len(names) > 3 else "")
    layout = f"{len(parts)} {parts[0][0].kind}s ({listed})"
    return replace(joined, reading=replace(joined.reading, layout=layout))


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
    *,
    may_lack_labels: bool = False,
) -> LabelledImages:
    """Find the columns of a manifest and read labels, splits and captions.

    Args:
        records: The manifest.
        columns: Which columns hold what.
        split: The split of rows that name none.
        where: Keep only rows whose cell in each of these columns is one of the values.
        may_lack_labels: It need not have a column of labels or captions.

    Raises:
        DataError: A column is missing, or labels and names contradict each other.
    """
    image = find_column(records, columns.image, IMAGE_NAMES, "image")
    if image is None:
        raise _missing(records, "image")
    caption = find_column(records, columns.caption, CAPTION_NAMES, "caption")
    labels = read_label_columns(records, columns, image, caption)
    lacks = labels is None and caption is None and len(records.columns) > 1
    if lacks and not may_lack_labels:
        raise _missing(records, "label")
    found = labels or Labels([None] * records.n_rows)
    captions = [_as_texts(c) for c in records.read_column(caption)] if caption else None
    group = find_column(records, columns.group, (VIEWS,), "group")
    splits, split_note = _read_splits(records, split)
    sure = columns.confidence if columns.confidence in records.columns else None
    images = LabelledImages(
        sources=records.read_sources(image),
        labels=found.words,
        splits=splits,
        classes=found.classes,
        numbered=found.numbered,
        captions=captions,
        label_sets=found.sets,
        in_lists=found.in_lists,
        numbers=found.numbers,
        groups=[str(c) for c in records.read_column(group)] if group else None,
        confidence=read_confidence(records.read_column(sure), column=sure, name=records.name)
        if sure
        else None,
        reading=_describe(records, labels, columns, image, caption).add(notes=split_note),
    )
    rows = _matching_rows(records, where)
    return merge_repeats(images if rows is None else images.keep(rows), records.name)


def _describe(
    records: Records, labels: Labels | None, columns: Columns, image: str, caption: str | None
) -> Reading:
    column = label_column(records, columns)
    of_classes = labels is not None and labels.classes is not None
    origin = "the columns of classes" if of_classes else "a column that is found by its cells"
    origin = f"the column {column!r}" if column else origin
    return Reading(
        layout=f"a {records.kind} ({Path(records.name).name}) with images in {image!r}",
        labels_from=origin if labels is not None else "",
        notes=(*(labels.notes if labels else ()), *records.notes),
        ignored=records.ignored,
    )


def _missing(records: Records, kind: str) -> DataError:
    listed = ", ".join(records.columns[:12]) + (", ..." if len(records.columns) > 12 else "")
    return DataError(
        f"{records.name!r} has no {kind} column by a usual name; its columns are: "
        f"{listed}; name it with --{kind}-column"
    )


def _read_splits(records: Records, default: str) -> tuple[list[str], Sequence[str]]:
    """Return the split of each row, and what was passed over."""
    column = find_column(records, None, SPLIT_NAMES, "split")
    if column is None:
        return [default] * records.n_rows, ()
    cells = records.read_column(column)
    if records.n_rows and all(str(cell).strip().removesuffix(".0").isdigit() for cell in cells):
        note = (
            f"the column {column!r} of {Path(records.name).name} holds numbers, which say no "
            "split: passed over; write train, val and test instead of them"
        )
        return [default] * records.n_rows, (note,)
    splits = []
    for row, cell in enumerate(cells):
        name = str(cell).strip() if cell is not None else ""
        split = split_of(name) if name else default
        if split is None:
            raise DataError(
                f"row {row} of {records.name!r} has the split {name!r}; expected train, val or test"
            )
        splits.append(split)
    return splits, ()


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


def merge_repeats(images: LabelledImages, name: str) -> LabelledImages:
    """Gather the captions of an image that has a row for each; refuse other repeated rows."""
    first: dict[str, int] = {}
    captions = None if images.captions is None else list(images.captions)
    for row, source in enumerate(images.sources):
        earlier = first.setdefault(source.id, row)
        if earlier == row:
            continue
        same = all(
            values is None or values[row] == values[earlier]
            for values in (images.labels, images.splits, images.label_sets)
        )
        if captions is None or not same:
            labels = [images.labels[earlier], images.labels[row]]
            told = (
                "" if labels[0] == labels[1] else f" with the labels {labels[0]!r}, {labels[1]!r}"
            )
            raise DataError(
                f"{name!r} lists the image {source.id!r} in rows {earlier} and {row}{told}; "
                "keep one of them"
            )
        captions[earlier] += captions[row]
    if len(first) == len(images.sources):
        return images
    return replace(images, captions=captions).keep(list(first.values()))
