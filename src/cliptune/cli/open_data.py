"""Data sets as commands open them: read, looked at, and said how, before anything is computed.

It adds words to calls of the library, and decides nothing about layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cliptune.cli.console import note, progress_bar
from cliptune.cli.options import DataOptions
from cliptune.errors import InputError
from cliptune.escaping import for_terminal

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = [
    "note_absent_classes",
    "open_labelled",
    "open_learnable",
    "open_table",
    "open_whole_table",
    "read_whole_table",
]


def open_table(
    data: str, options: DataOptions, *, check: Callable[[ImageTable], object] | None = None
) -> ImageTable:
    """Open a data set at one split: as asked, else test, else val, else all of it.

    Args:
        data: What the user calls it.
        options: How to read it.
        check: Raises where the split is not good enough.
    """
    whole = read_whole_table(data, options)
    table, chosen = _usual_split(_asked_split(whole, options), options)
    if check is not None:
        check(table)
    _say(whole, chosen)
    return table


def open_labelled(data: str, options: DataOptions, *, n_classes: int = 1) -> ImageTable:
    """Open the labelled images of a data set, at one split of them as ``open_table`` does.

    Raises:
        CliptuneError: It cannot be read, has no image with one label, or fewer than
            ``n_classes`` classes.
    """
    from cliptune.images import labelled_part, require_classes

    whole = read_whole_table(data, options)
    table, notes = labelled_part(_asked_split(whole, options))
    require_classes(table, at_least=n_classes)
    part, chosen = _usual_split(table, options)
    _say(whole, (*notes, *chosen))
    return part


def open_learnable(data: str, options: DataOptions) -> ImageTable:
    """Open what a classifier can learn from: labelled images of all splits, and their classes.

    Raises:
        CliptuneError: It cannot be read, or has not two classes with images of one label.
    """
    from cliptune.images import learnable_part, require_classes

    whole = read_whole_table(data, options)
    table, notes = learnable_part(_asked_split(whole, options))
    require_classes(table)
    _say(whole, notes)
    return table


def _usual_split(table: ImageTable, options: DataOptions) -> tuple[ImageTable, tuple[str, ...]]:
    """Choose the split that was not asked for, and say which."""
    if options.split is None:
        for name in ("test", "val"):
            if (table.splits == name).any() and not (table.splits == name).all():
                note = f"using the {name} split; choose another with --split"
                return table.split(name), (note,)
    return table, ()


def open_whole_table(
    data: str, options: DataOptions, *, check: Callable[[ImageTable], object] | None = None
) -> ImageTable:
    """Open a data set with all its splits, or at the one that was asked for, and say how.

    Args:
        data: What the user calls it.
        options: How to read it.
        check: Raises where it is not good enough.
    """
    whole = read_whole_table(data, options)
    table = _asked_split(whole, options)
    if check is not None:
        check(table)
    _say(whole)
    return table


def _asked_split(table: ImageTable, options: DataOptions) -> ImageTable:
    return table if options.split is None else table.split(options.split)


def _say(table: ImageTable, notes: Sequence[str] = ()) -> None:
    """Say how a data set was read; only once nothing is wrong with it."""
    from cliptune.images.describe import describe_table

    note(for_terminal(describe_table(table)))
    for sentence in notes:
        note(sentence)


def read_whole_table(data: str, options: DataOptions) -> ImageTable:
    """Open a data set with all its splits."""
    from cliptune.images import ImageTable

    with progress_bar(f"fetching {data}", "bytes") as show:
        return ImageTable.open(
            data,
            image_column=options.image_column,
            label_column=options.label_column,
            caption_column=options.caption_column,
            group_column=options.group_column,
            group_pattern=options.group_pattern,
            class_names=options.class_names,
            where=_parse_where(options.where),
            folders=_parse_folders(options.folder),
            class_level=options.class_level,
            labels_from=options.labels_from,
            progress=show,
        )


def _parse_where(conditions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    parsed = {}
    for condition in conditions:
        column, equals, values = condition.partition("=")
        if not (column and equals and values):
            raise InputError(
                f"--where {condition!r} is no condition; expected COLUMN=VALUE[,VALUE...]"
            )
        parsed[column] = tuple(values.split(","))
    return parsed


def _parse_folders(roles: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for role in roles:
        name, equals, value = role.rpartition("=")
        if not (name and equals and value):
            raise InputError(
                f"--folder {role!r} says nothing; expected NAME=ROLE, e.g. extra=ignore"
            )
        parsed[name] = value
    return parsed


def note_absent_classes(table: ImageTable) -> None:
    """Say which classes no image is of: they are answers that are always wrong."""
    present = set(table.labels.tolist())
    absent = [name for code, name in enumerate(table.class_names) if code not in present]
    if absent:
        more = f", and {len(absent) - 8} more" if len(absent) > 8 else ""
        note(f"no image here is of {', '.join(map(repr, absent[:8]))}{more}")
