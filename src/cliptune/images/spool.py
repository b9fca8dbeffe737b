"""A folder for what is read once and then removed, in the system's place for temporary files.

A process that was killed cannot remove its folder; the next one that makes such a folder on the
same machine does it. It knows nothing about what is in them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cliptune.errors import UnavailableError
from cliptune.system.atomic import os_reason

__all__ = ["spool_folder"]


@contextmanager
def spool_folder() -> Iterator[Path]:
    """Give an empty folder below ``$TMPDIR``, and remove it with all that is in it.

    Raises:
        UnavailableError: None can be made.
    """
    base = Path(tempfile.gettempdir()) / f"cliptune-units-{_user()}"
    folder = base / uuid.uuid4().hex
    lock = FileLock(_lock_of(folder))
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        _sweep(base)
        lock.acquire(timeout=0)
        folder.mkdir()
    except OSError as error:
        raise UnavailableError(
            f"cannot write {str(base)!r} ({os_reason(error)}); name another place in TMPDIR"
        ) from error
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _sweep(base: Path) -> None:
    """Remove the folders whose process has ended: the system dropped their locks."""
    for path in base.glob("*.lock"):
        lock = FileLock(path)
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
            _remove(path.with_suffix(""), lock)


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        _lock_of(folder).unlink(missing_ok=True)
    lock.release()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "own"
