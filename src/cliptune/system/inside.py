"""A file of a folder, and nothing outside of it.

It knows paths and links, and nothing about what is in a file.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from cliptune.errors import RunError

__all__ = ["file_inside"]


def file_inside(folder: Path, name: str) -> Path:
    """Return where a file of a folder is, whether it is there or not.

    Args:
        folder: The folder, which may itself be a link.
        name: Relative to it, with slashes.

    Raises:
        RunError: The name is empty or absolute, climbs, or leads out of the folder by a link.
    """
    parts = PurePosixPath(name).parts
    plain = name and name.isprintable() and "\\" not in name and not PureWindowsPath(name).drive
    if not plain or ".." in parts or PurePosixPath(name).is_absolute():
        raise RunError(f"{str(folder)!r} names the file {name!r:.200}, which is not within it")
    path = folder / name
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        is_inside = False
    if not is_inside:
        raise RunError(
            f"{str(path)!r} is a link that leads out of its folder; put the file itself there"
        )
    return path
