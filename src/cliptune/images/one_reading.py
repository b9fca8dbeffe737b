"""Folders that could be read in two ways are refused, with the option that decides.

It knows names of folders and what lies where, and arranges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cliptune.errors import DataError
from cliptune.images.roles import FolderOptions, inner
from cliptune.images.split_words import is_storage
from cliptune.images.tree import Folder

__all__ = ["require_one_reading"]


def require_one_reading(
    classes: Sequence[Folder],
    splits: Mapping[str, str],
    start: Folder,
    options: FolderOptions,
    origin: str,
) -> None:
    """Refuse folders of files as classes, and two levels that could both be classes.

    Folders that the user says something of need no reading; the others still do.

    Args:
        classes: Folders that would be classes.
        splits: The role of each folder beside them that is a split, by path.
        start: Where they lie.
        options: What the user said of folders.
        origin: The data set, for messages.

    Raises:
        DataError: There are two readings.
    """
    unsaid = [f for f in classes if not {f.path, f.name} & set(options.roles)]
    if len(classes) > 1:
        for folder in unsaid:
            if is_storage(folder.name):
                others = ", ".join(f.name for f in classes if f is not folder)
                raise DataError(
                    f"{origin!r} holds the folders {folder.name!r} and {others}, which look like "
                    "places of files and not like classes; give a table of labels, or say what "
                    f"each is with --folder {folder.name}=class|ignore|train|val|test"
                )
    paths = {f.path for f in classes} | set(splits)
    cores = [inner(f) for f in start.full if f.path in paths]
    below = [{f.name.casefold() for f in core.full if not is_storage(f.name)} for core in cores]
    if not unsaid or len(below) < 2 or not all(below) or any(core.images for core in cores):
        return
    shared, every = set.intersection(*below), set.union(*below)
    if len(shared) >= min(2, len(every)) and 2 * len(shared) >= len(every):
        tops = ", ".join(repr(f.name) for f in unsaid[:4])
        names = {f.name.casefold(): f.name for f in cores[0].full}
        beside = len(shared) == 1 and all(len(core.full) > 1 for core in cores)
        masks = next(iter(shared)) if beside else ""
        level, deeper = start.path.count("/") + bool(start.path), cores[0].path.count("/")
        raise DataError(
            f"{origin!r} has the same folders ({', '.join(sorted(shared)[:4])}) in each of {tops}: "
            f"say with --class-level {level + 1} or {deeper + 2} which of them are the classes, or "
            f"with --folder {unsaid[0].name}=train|val|test|ignore what each is"
            f"{f', or leave {masks} out with --folder {names[masks]}=ignore' if masks else ''}"
        )
