"""The folder of an export: it appears whole, in the place of an earlier one or of nothing.

It knows files, and nothing about what is in them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cliptune.errors import InputError, RunError, UnavailableError
from cliptune.system.atomic import TEMPORARY, os_reason
from cliptune.system.file_kinds import is_folder
from cliptune.system.json_files import read_object
from cliptune.system.places import require_writable

__all__ = ["EXPORT_FILE", "new_export_folder", "require_export_place", "write_record"]

EXPORT_FILE = "export.json"
_FORMAT_VERSION = 1


def require_export_place(out: Path) -> None:
    """Make sure that an export can go to a folder: a new or empty one, or that of an earlier one.

    Raises:
        InputError: It holds other files.
        UnavailableError: It cannot be written to.
    """
    require_writable(out, "--out")
    if not is_folder(out):
        return
    there = {entry.name for entry in out.iterdir()}
    if not there:
        return
    try:
        earlier = set(read_object(out / EXPORT_FILE).get("files", ()))
    except (RunError, TypeError):
        earlier = set()
    ours = {EXPORT_FILE, *(Path(name).parts[0] for name in earlier if name)}
    if EXPORT_FILE not in there or there - ours:
        other = sorted(there - ours)[0]
        raise InputError(
            f"{str(out)!r} holds other files ({other!r}); name an empty or new folder with --out"
        )


@contextmanager
def new_export_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill; it takes the place of ``out`` when the block ends well.

    Raises:
        UnavailableError: The place cannot be written to, or the disk is full.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{TEMPORARY}{out.name[:80]}-"))
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        yield folder
        folder.chmod(0o755)
        _take_place(folder, out)
    except OSError as error:
        if isinstance(error, UnavailableError):
            raise
        raise _unwritable(out, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_place(folder: Path, out: Path) -> None:
    if not is_folder(out):
        folder.rename(out)
        return
    before = Path(tempfile.mkdtemp(dir=out.parent, prefix=TEMPORARY))
    try:
        out.rename(before / "before")
        folder.rename(out)
    finally:
        shutil.rmtree(before, ignore_errors=True)


def write_record(folder: Path, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Write ``export.json``, which lists all files there, and return their names.

    Args:
        folder: The export.
        facts: What else it says, plain JSON values, hence ``Any``.
    """
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = sorted({EXPORT_FILE, *names})
    record = {"format_version": _FORMAT_VERSION, **facts, "files": files}
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / EXPORT_FILE).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return tuple(files)


def _unwritable(out: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"cannot write to {str(out)!r} ({os_reason(error)}); name another place with --out"
    )
