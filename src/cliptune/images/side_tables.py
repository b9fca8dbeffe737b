"""Tables beside folders of images: which of them say the labels.

It weighs what tables and folders say against each other, and reads neither. Where both say
labels and they are not the same, nobody guesses: the message names the option that decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from cliptune.errors import DataError, InputError
from cliptune.images.reading import Ignored, Reading
from cliptune.images.records import LabelledImages, join_splits, settle_lists
from cliptune.images.split_words import are_places
from cliptune.images.table_fill import (
    fill_from_tables,
    gather_captions,
    gather_confidence,
    gather_groups,
)
from cliptune.images.table_search import NamedImages

__all__ = ["Beside", "weigh_tables"]


@dataclass(frozen=True)
class Beside:
    """A folder of images with tables in it.

    Attributes:
        root: The folder.
        every: All images below it, by their paths relative to it.
        folders: The images as their folders label them; nothing where these can be read in two
            ways.
        refusal: Why they can.
        tables: The tables that name some of the images.
        column_named: The user has named the column of labels, so that a table's labels come
            before those of folders.
    """

    root: str
    every: Collection[str]
    folders: LabelledImages | None
    refusal: DataError | None
    tables: Sequence[NamedImages]
    column_named: bool = False

    @property
    def row_of(self) -> dict[str, int]:
        """From an image's path to its row in ``folders``."""
        if self.folders is None:
            return {}
        start = len(self.root) + 1
        return {s.location[start:]: row for row, s in enumerate(self.folders.sources)}


def weigh_tables(beside: Beside, wanted: str | None) -> LabelledImages:
    """Take labels from folders, from tables, or from both.

    Args:
        beside: The folder.
        wanted: What the user wants labels from: ``folders``, ``table``, or a table's path.

    Raises:
        DataError: Tables and folders, or two tables, contradict each other.
        InputError: There is no table of that path.
    """
    settled = settle_lists([table.images for table in beside.tables])
    tables = [replace(t, images=i) for t, i in zip(beside.tables, settled, strict=True)]
    if wanted not in (None, "table", "folders"):
        tables = [table for table in tables if table.path == wanted]
    labelled = [table for table in tables if table.images.n_labelled]
    if wanted not in (None, "folders") and not labelled:
        raise InputError(
            f"--labels-from {wanted} came, but {beside.root!r} has no such table with labels of "
            "its images"
        )
    captioned = [table for table in tables if table.images.captions is not None]
    if wanted == "folders" and beside.refusal is not None:
        raise beside.refusal
    if labelled and wanted != "folders":
        _require_agreement(beside.root, labelled)
        others = [table for table in tables if table not in labelled]
        apart = [table for table in others if any(table.images.splits)]
        _require_one_split(beside.root, [*labelled, *apart])
        return _add_facts(beside, _take_labels(beside, labelled, apart, wanted), others)
    if beside.folders is not None and beside.folders.n_labelled:
        if wanted is None:
            _require_sure_folders(beside, tables)
        return _add_facts(beside, beside.folders, tables)
    if captioned:
        others = [table for table in tables if table not in captioned]
        _require_one_split(beside.root, captioned)
        return _add_facts(beside, _take_rows(beside, captioned), others)
    if beside.folders is None:
        unsure = _with_candidates(tables, len(beside.every))
        if unsure and beside.refusal is not None:
            raise _choose_column(beside.root, unsure, f"else of the folders: {beside.refusal}")
        raise beside.refusal or DataError(f"{beside.root!r} holds no images")
    return _add_facts(beside, beside.folders, tables)


def _require_agreement(root: str, tables: Sequence[NamedImages]) -> None:
    first: dict[str, tuple[object, str]] = {}
    for table in tables:
        labels: Sequence[object] = table.images.label_sets or table.images.labels
        for path, label in zip(table.paths, labels, strict=True):
            known, where = first.setdefault(path, (label, table.path))
            if known != label and None not in (known, label):
                raise DataError(
                    f"{where} and {table.path} of {root!r} give {path!r} the labels {known!r} and "
                    f"{label!r}; say which is right with --labels-from {where}"
                )


def _require_one_split(root: str, tables: Sequence[NamedImages]) -> None:
    """Refuse images that two tables put into two splits: one of these would go without a word."""
    first: dict[str, tuple[str, str]] = {}
    twice: list[tuple[str, str, str]] = []
    for table in tables:
        for path, split in zip(table.paths, table.images.splits, strict=True):
            known, where = first.setdefault(path, (split, table.path))
            if split and not known:
                first[path] = (split, table.path)
            elif known and split and known != split:
                twice.append((path, where, table.path))
    if twice:
        path, one, other = twice[0]
        raise DataError(
            f"{len(twice)} images of {root!r}, such as {path!r}, are named in both {one} and "
            f"{other}, which are other splits; keep each image in one, or read one of them with "
            f"--labels-from {one}"
        )


def _require_sure_folders(beside: Beside, tables: Sequence[NamedImages]) -> None:
    """Refuse folders that may be places of files, where a table could have the labels."""
    assert beside.folders is not None, "asked before"
    classes = list(dict.fromkeys(label for label in beside.folders.labels if label is not None))
    unsure = _with_candidates(tables, len(beside.every))
    if unsure and are_places(classes):
        folders = ", ".join(repr(name) for name in classes[:3])
        otherwise = f"or take the folders, {folders}, with --labels-from folders"
        raise _choose_column(beside.root, unsure, otherwise)


def _with_candidates(tables: Sequence[NamedImages], n_images: int) -> NamedImages | None:
    """Return a table of most images with columns that could be labels."""
    found = [table for table in tables if table.candidates and 2 * len(table.paths) >= n_images]
    return found[0] if found else None


def _choose_column(root: str, table: NamedImages, otherwise: str) -> DataError:
    listed = ", ".join(table.candidates[:8])
    return DataError(
        f"{table.path} of {root!r} has columns that could be labels ({listed}); say which with "
        f"--label-column {table.candidates[0]!r}; {otherwise}"
    )


def _take_labels(
    beside: Beside,
    tables: Sequence[NamedImages],
    apart: Sequence[NamedImages],
    wanted: str | None,
) -> LabelledImages:
    """Decide between what folders and tables say; tables apart name images without labels."""
    folders, names = beside.folders, ", ".join(table.path for table in tables)
    if folders is None or wanted is not None:
        return _take_rows(beside, [*tables, *apart])
    row_of = beside.row_of
    pairs = [
        (path, folder, label)
        for table in tables
        for path, label in zip(table.paths, _words(table.images), strict=True)
        if label is not None and (folder := folders.labels[row_of[path]]) is not None
    ]
    if not pairs:
        if not folders.n_labelled:
            return _take_rows(beside, [*tables, *apart])
        return fill_from_tables(folders, row_of, tables, f"{names} labels what no folder does")
    if _is_one_to_one(pairs):
        return fill_from_tables(folders, row_of, tables, f"{names} says the same as the folders")
    if len({folder for _, folder, _ in pairs}) > 1 and all(table.guessed for table in tables):
        reading = folders.reading or Reading("class folders")
        note = f"{names} has columns that could be labels; the folders have them"
        return replace(folders, reading=reading.add(notes=[note]))
    if len({folder for _, folder, _ in pairs}) > 1 and not beside.column_named:
        path, folder, label = _difference(pairs)
        raise DataError(
            f"the folders of {beside.root!r} and {names} give other labels ({path!r}: {folder!r} "
            f"and {label!r}); say which are right with --labels-from folders or --labels-from table"
        )
    return _take_rows(beside, [*tables, *apart])


def _words(images: LabelledImages) -> Sequence[str | None]:
    if images.label_sets is None:
        return images.labels
    return [None if labels is None else ", ".join(labels) for labels in images.label_sets]


Pairs = Sequence[tuple[str, str, str]]


def _is_one_to_one(pairs: Pairs) -> bool:
    """Tell whether folders and table divide the images alike, in other words at most."""
    forward: dict[str, str] = {}
    backward: dict[str, str] = {}
    for _, folder, label in pairs:
        if forward.setdefault(folder, label) != label:
            return False
        if backward.setdefault(label, folder) != folder:
            return False
    return len(forward) > 1 or all(f.casefold() == b.casefold() for f, b in forward.items())


def _difference(pairs: Pairs) -> tuple[str, str, str]:
    """Return an image that shows the contradiction, not one that only shows other words."""
    usual: dict[str, str] = {}
    for path, folder, label in pairs:
        if usual.setdefault(folder, label) != label:
            return path, folder, label
    return pairs[0]


def _take_rows(beside: Beside, tables: Sequence[NamedImages]) -> LabelledImages:
    """Take the tables' rows, and of the other images those that are unlabelled in a split."""
    joined = _join_tables(tables, beside.root)
    named = {path for table in tables for path in table.paths}
    folders, apart = beside.folders, {}
    if folders is not None:
        apart = {
            path: row
            for path, row in beside.row_of.items()
            if path not in named and folders.labels[row] is None and folders.splits[row]
        }
    left = [path for path in beside.every if path not in named and path not in apart]
    names = ", ".join(table.path for table in tables)
    ignored = [Ignored(len(left), "images", min(left), f"not named in {names}")] if left else []
    reading = (joined.reading or Reading("a table")).add(ignored=ignored)
    if folders is None or not apart:
        return replace(joined, reading=reading)
    rest = replace(folders.keep(list(apart.values())), classes=None, reading=None)
    if joined.captions is not None:
        rest = replace(rest, captions=[()] * len(apart))
    return replace(join_splits([joined, rest], beside.root), reading=reading)


def _join_tables(tables: Sequence[NamedImages], root: str) -> LabelledImages:
    """Put tables together; an image that several name alike is taken once."""
    seen: set[str] = set()
    parts = []
    for table in tables:
        rows = [row for row, path in enumerate(table.paths) if path not in seen]
        seen.update(table.paths)
        part = table.images if len(rows) == len(table.paths) else table.images.keep(rows)
        reading = (part.reading or Reading("a table")).add(ignored=table.ignored)
        parts.append(replace(part, reading=reading))
    if len(parts) == 1:
        return parts[0]
    joined = join_splits(parts, root)
    reading = joined.reading or Reading("a table")
    layout = f"{reading.layout} and {len(parts) - 1} more"
    return replace(joined, reading=replace(reading, layout=layout))


def _add_facts(
    beside: Beside, images: LabelledImages, tables: Sequence[NamedImages]
) -> LabelledImages:
    """Add captions and groups of tables without labels; say that the rest is not read."""
    start = len(beside.root) + 1
    row_of: Mapping[str, int] = {s.location[start:]: r for r, s in enumerate(images.sources)}
    captions = gather_captions(tables, row_of, len(images.labels))
    groups = gather_groups(tables, row_of, len(images.labels))
    confidence = gather_confidence(tables, row_of, len(images.labels))
    notes = [
        f"{t.path} has columns that could be labels ({', '.join(t.candidates[:8])}): "
        "--label-column takes one"
        if t.candidates
        else f"{t.path} has no labels that are found by themselves; --label-column names a column"
        if not images.n_labelled and t.images.captions is None
        else f"{t.path} has no labels"
        for t in tables
        if not t.images.n_labelled
    ]
    notes += [f"{t.path} is not asked for labels" for t in tables if t.images.n_labelled]
    reading = (images.reading or Reading("a folder")).add(notes=notes)
    return replace(
        images,
        captions=images.captions if captions is None else captions,
        groups=images.groups if groups is None else groups,
        confidence=images.confidence if confidence is None else confidence,
        reading=reading,
    )
