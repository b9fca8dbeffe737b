"""How the user wants a data set read.

It knows options, and nothing about what lies where.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cliptune.errors import InputError
from cliptune.images.records import Columns, Filter
from cliptune.images.roles import FolderOptions

__all__ = ["Asked", "refuse_columns", "refuse_folder_options"]


@dataclass(frozen=True)
class Asked:
    """What the user said about reading a data set; nothing where it is to be found out.

    Attributes:
        columns: Which columns of tables hold what.
        where: Keep only rows of tables whose cell in each of these columns is one of the values.
        folders: What folders are.
        labels_from: ``folders``, ``table``, or the path of a table below the folder.
    """

    columns: Columns = field(default_factory=Columns)
    where: Filter | None = None
    folders: FolderOptions = field(default_factory=FolderOptions)
    labels_from: str | None = None


def refuse_columns(name: str, asked: Asked) -> None:
    """Make sure that nothing was said of columns where there are none.

    Raises:
        InputError: It was.
    """
    if asked.where:
        raise InputError(f"{name!r} has no columns to filter by; filters need a manifest")
    for kind in ("image", "label", "caption", "group"):
        if getattr(asked.columns, kind) is not None:
            raise InputError(
                f"--{kind}-column {getattr(asked.columns, kind)} came, but {name!r} has only "
                "images, no columns; leave it out, or name a manifest"
            )


def refuse_folder_options(name: str, asked: Asked) -> None:
    """Make sure that nothing was said of folders where there are none.

    Raises:
        InputError: It was.
    """
    if asked.folders.roles or asked.folders.class_level is not None:
        raise InputError(f"--folder and --class-level are about folders, but {name!r} is a table")
    if asked.labels_from is not None:
        raise InputError(f"--labels-from chooses between tables in a folder, but {name!r} is none")
