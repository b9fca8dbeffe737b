"""Where results may go: names of files made from what users call things, folders to write to.

It knows nothing about what is written.
"""

from __future__ import annotations

import os
from pathlib import Path

from cliptune.errors import UnavailableError
from cliptune.system.file_kinds import exists, is_folder

__all__ = ["file_stem", "require_writable"]

_STEM_BYTES = 80
_NAME_BYTES = 255  # what Linux, macOS and Windows take for one name


def file_stem(text: str) -> str:
    """Return a part of a file's name made of what a user called something.

    Letters, digits, ``-``, ``_`` and ``.`` stay, and no more of them than leave room for what
    stands around the part in a name of 255 bytes.
    """
    stem = Path(text).stem or "data"
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem)
    return name.encode("utf-8", "replace")[:_STEM_BYTES].decode("utf-8", "ignore")


def require_writable(path: Path, option: str) -> None:
    """Make sure, without writing, that a folder is or can be made at ``path``.

    Args:
        path: Where.
        option: What names another place, for the message.

    Raises:
        UnavailableError: It cannot.
    """
    names = path.absolute().parts
    if "\0" in str(path) or any(len(os.fsencode(name)) > _NAME_BYTES for name in names):
        raise _unwritable(path, "no file can have such a name", option)
    above = next(place for place in (path, *path.absolute().parents) if exists(place))
    if not is_folder(above):
        raise _unwritable(path, f"{str(above)!r} is no folder", option)
    if not os.access(above, os.W_OK | os.X_OK):
        raise _unwritable(path, "permission denied", option)


def _unwritable(path: Path, reason: str, option: str) -> UnavailableError:
    shown = str(path) if len(str(path)) <= 100 else f"{str(path)[:100]}..."
    return UnavailableError(
        f"cannot write to {shown!r} ({reason}); name another place with {option}"
    )
