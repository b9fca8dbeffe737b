"""What lies at a path that a user named, without trusting that it is a name at all.

A name may be longer than any file's, hold a null byte, or belong to a pipe or a device, which
would never end. It knows nothing about contents.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["can_name", "exists", "is_file", "is_folder", "open_regular", "read_regular"]


def is_file(path: str | Path) -> bool:
    """Tell whether there is a regular file; a name that can be no file's names none."""
    return os.path.isfile(path)  # noqa: PTH113  pathlib raises for such names


def is_folder(path: str | Path) -> bool:
    """Tell whether there is a folder; a name that can be no file's names none."""
    return os.path.isdir(path)  # noqa: PTH112  pathlib raises for such names


def exists(path: str | Path) -> bool:
    """Tell whether there is anything; a name that can be no file's names nothing."""
    return os.path.exists(path)  # noqa: PTH110  pathlib raises for such names


def can_name(text: str) -> bool:
    """Tell whether a text can be a path at all: without null bytes and halves of characters."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def read_regular(path: str | Path) -> bytes:
    """Return the bytes of a regular file; a pipe or a device is refused instead of waited for.

    Raises:
        OSError: There is none, it cannot be read, or it is of another kind.
    """
    with open_regular(path) as file:
        return file.read()


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
        OSError: As for ``read_regular``.
    """
    try:
        # A pipe without a writer would otherwise hold up the opening itself.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:
        raise OSError(22, str(error), str(path)) from error
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise OSError(22, f"it is {what}, not a file", str(path))
    return open(handle, "rb")
