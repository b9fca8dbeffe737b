"""The images that a verb works on: opened by name, at one split or whole.

It knows tables and options, and nothing about models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import InputError
from cliptune.system.escaping import for_terminal
from cliptune.workflows.journal_labels import name_and_journal, take_journal
from cliptune.workflows.options import DataOptions
from cliptune.workflows.progress import ProgressLike, Watch, watching

if TYPE_CHECKING:
    from cliptune.images import ImageTable

    Data = str | Path | ImageTable

__all__ = [
    "data_name",
    "note_absent_classes",
    "open_images",
    "open_labelled",
    "open_learnable",
    "open_table",
    "open_whole_table",
    "read_labelled_sets",
    "read_whole_table",
]


def open_images(
    data: str | Path | Sequence[str | Path],
    *,
    dataset: DataOptions = DataOptions(),
    progress: ProgressLike = None,
) -> ImageTable:
    """Find images and read their labels, but no image.

    Args:
        data: A folder, a manifest, shards, ``hf:OWNER/NAME`` or the name of a data set; or
            several image files and folders, which are taken without labels.
        dataset: How to read it.
        progress: A callback, or True for a bar.

    Raises:
        InputError: There is nothing of that name, or an option does not fit.
        DataError: The data set has no images, or contradicts itself.
        UnavailableError: It has to be fetched and cannot be.
    """
    if isinstance(data, str | Path):
        return open_whole_table(data, dataset, watching(progress), confidence=True)
    from cliptune.images import open_images as open_loose

    if dataset != DataOptions():
        raise InputError("several names came with options of a data set; they are for a single one")
    names = list(data)
    for name in names:
        if not isinstance(name, str | Path):
            raise InputError(
                f"{type(data).__name__} of {type(name).__name__} came; expected paths (a data set "
                "of the datasets library is opened by the folder of its save_to_disk)"
            )
    return open_loose([str(name) for name in names])


def data_name(data: Data) -> str:
    """Return what a data set is called."""
    return str(data) if isinstance(data, str | Path) else data.root


def open_table(
    data: Data,
    options: DataOptions,
    watch: Watch,
    *,
    check: Callable[[ImageTable], object] | None = None,
) -> ImageTable:
    """Open a data set at one split: as asked, else test, else val, else all of it.

    Args:
        data: What the user calls it, or a table.
        options: How to read it.
        watch: Who is told how it was read.
        check: Raises where the split is not good enough.
    """
    whole = read_whole_table(data, options, watch)
    table, chosen = _usual_split(_asked_split(whole, options), options)
    if check is not None:
        check(table)
    _say(data, whole, watch, chosen)
    return table


def open_labelled(
    data: Data, options: DataOptions, watch: Watch, *, n_classes: int = 1
) -> ImageTable:
    """Open the labelled images of a data set, at one split of them as ``open_table`` does.

    Raises:
        CliptuneError: It cannot be read, has no image with one label, or fewer than
            ``n_classes`` classes.
    """
    from cliptune.images import labelled_part, require_classes

    whole = read_whole_table(data, options, watch)
    table, notes = labelled_part(_asked_split(whole, options))
    require_classes(table, at_least=n_classes)
    part, chosen = _usual_split(table, options)
    _say(data, whole, watch, (*notes, *chosen))
    return part


def read_labelled_sets(
    data: Data, options: DataOptions, watch: Watch, *, usual_split: bool = False
) -> ImageTable:
    """Open the labelled images of a data set whose images may have several labels.

    Args:
        data: What the user calls it, or a table.
        options: How to read it.
        watch: Who is told how it was read.
        usual_split: Only the test split, else the validation split, where there is one.

    Raises:
        CliptuneError: It cannot be read, or no image is labelled.
    """
    from cliptune.images import labelled_sets

    whole = read_whole_table(data, options, watch)
    table, notes = labelled_sets(_asked_split(whole, options))
    if usual_split:
        table, chosen = _usual_split(table, options)
        notes = (*notes, *chosen)
    _say(data, whole, watch, notes)
    return table


def open_learnable(
    data: Data, options: DataOptions, watch: Watch, *, confidence: bool = False
) -> ImageTable:
    """Open what a classifier can learn from: labelled images of all splits, and their classes.

    The arguments are those of ``read_whole_table``.

    Raises:
        CliptuneError: It cannot be read, or has not two classes with images of one label.
    """
    from cliptune.images import learnable_part, require_classes

    whole = read_whole_table(data, options, watch, confidence=confidence)
    table, notes = learnable_part(_asked_split(whole, options))
    require_classes(table)
    _say(data, whole, watch, notes)
    return table


def open_whole_table(
    data: Data,
    options: DataOptions,
    watch: Watch,
    *,
    check: Callable[[ImageTable], object] | None = None,
    confidence: bool = False,
) -> ImageTable:
    """Open a data set with all its splits, or at the one that was asked for, and say how.

    The arguments are those of ``open_table`` and of ``read_whole_table``.
    """
    whole = read_whole_table(data, options, watch, confidence=confidence)
    table = _asked_split(whole, options)
    if check is not None:
        check(table)
    _say(data, whole, watch)
    return table


def _usual_split(table: ImageTable, options: DataOptions) -> tuple[ImageTable, tuple[str, ...]]:
    """Choose the split that was not asked for, and say which."""
    if options.split is None:
        for name in ("test", "val"):
            if (table.splits == name).any() and not (table.splits == name).all():
                note = f"using the {name} split; choose another with --split"
                return table.split(name), (note,)
    return table, ()


def _asked_split(table: ImageTable, options: DataOptions) -> ImageTable:
    return table if options.split is None else table.split(options.split)


def _say(data: Data, table: ImageTable, watch: Watch, notes: Sequence[str] = ()) -> None:
    """Say how a data set was read; only once nothing is wrong with it."""
    from cliptune.images.describe import describe_table

    if isinstance(data, str | Path):  # whoever has a table knows how it was read
        watch.note(for_terminal(describe_table(table)))
    for sentence in notes:
        watch.note(sentence)


def read_whole_table(
    data: Data, options: DataOptions, watch: Watch, *, confidence: bool = False
) -> ImageTable:
    """Open a data set with all its splits.

    Args:
        data: What the user calls it, or a table.
        options: How to read it.
        watch: Who is told while it is fetched.
        confidence: How sure labels are makes a difference to who asks.

    Raises:
        CliptuneError: It cannot be read, or an option does not fit.
    """
    from cliptune.images import ImageTable

    if options.label_confidence is not None and not confidence:
        raise InputError(
            f"--label-confidence {options.label_confidence} came, which only 'fit' and 'study' "
            "learn from; leave it out"
        )
    if isinstance(data, ImageTable):
        _refuse_late(options)
        return data
    data, journal = name_and_journal(str(data), options.journal)
    with watch.stage(f"fetching {data}", "bytes") as show:
        table = ImageTable.open(
            data,
            image_column=options.image_column,
            label_column=options.label_column,
            caption_column=options.caption_column,
            group_column=options.group_column,
            group_pattern=options.group_pattern,
            label_confidence=options.label_confidence,
            class_names=options.class_names,
            where=_parse_where(options.where),
            folders=_parse_folders(options.folder),
            class_level=options.class_level,
            labels_from=options.labels_from,
            progress=show,
        )
    return table if journal is None else take_journal(table, journal)


def _refuse_late(options: DataOptions) -> None:
    """Make sure that nothing comes late: how to read a table was said when it was opened."""
    usual = DataOptions()
    late = [
        field.name
        for field in fields(options)
        if field.name not in ("split", "on_bad_image")
        and getattr(options, field.name) != getattr(usual, field.name)
    ]
    if late:
        names = ", ".join("--" + name.replace("_", "-") for name in late)
        raise InputError(f"{names} came with images that are open already; give it to open_images")


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


def note_absent_classes(table: ImageTable, watch: Watch) -> None:
    """Say which classes no image is of: they are answers that are always wrong."""
    present = set(table.labels.tolist())
    absent = [name for code, name in enumerate(table.class_names) if code not in present]
    if absent:
        more = f", and {len(absent) - 8} more" if len(absent) > 8 else ""
        watch.note(f"no image here is of {', '.join(map(repr, absent[:8]))}{more}")
