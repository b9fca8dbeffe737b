"""The place of a run: chosen, made, and kept for one process while it works there.

A folder is reserved by making it, and held by a lock that the system drops with its process. It
knows nothing about what is written there.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from cliptune.errors import RunError, UnavailableError
from cliptune.runs import HOLDER, LOCK, require_free_place
from cliptune.system.atomic import os_reason
from cliptune.system.places import file_stem

__all__ = ["claim_place", "hold_place"]


@contextmanager
def claim_place(out: Path | None, command: str, data: str) -> Iterator[Path]:
    """Give a new run its folder, which no other process can get while the block lasts.

    A folder that was made for it and is still empty in the end is removed again.

    Args:
        out: Where the user wants the run; nothing takes ``runs/<command>-<data>-<local time>``,
            with a number behind it where that is taken.
        command: What makes the run.
        data: The data set, as it was named.

    Raises:
        RunError: Another process works there, or there is a finished run, or other files.
        UnavailableError: It cannot be written to.
    """
    if out is not None:
        with hold_place(out) as place:
            yield place
        return
    with _made_new(_default_name(command, data)) as place, hold_place(place):
        yield place


@contextmanager
def hold_place(place: Path) -> Iterator[Path]:
    """Keep a folder for this process; it is made where it is missing.

    Raises:
        RunError: Another process works there, or there is a finished run, or other files.
        UnavailableError: It cannot be written to.
    """
    require_free_place(place)
    with _made(place), _locked(place):
        require_free_place(place)  # whoever had it before may have finished meanwhile
        yield place


def _default_name(command: str, data: str) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{command}-{file_stem(data)}-{now}"


@contextmanager
def _made_new(base: Path) -> Iterator[Path]:
    """Make a folder that was not there: of two processes one gets it, the other the next name."""
    with _made(base.parent):
        for number in count(1):
            place = base if number == 1 else base.with_name(f"{base.name}-{number}")
            try:
                base.parent.mkdir(parents=True, exist_ok=True)  # another may have cleared it away
                place.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise _unwritable(place, error) from error
            break
        try:
            yield place
        finally:
            _remove_if_empty(place)


@contextmanager
def _made(place: Path) -> Iterator[None]:
    """Make a folder and its parents; what is still empty in the end goes again."""
    missing = [path for path in (place, *place.parents) if not path.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        yield
    finally:
        for path in missing:
            _remove_if_empty(path)


def _remove_if_empty(place: Path) -> None:
    with suppress(OSError):  # it is not empty, or another process was quicker
        place.rmdir()


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    lock = FileLock(place / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{str(place)!r} is in use by {_holder(place)}; wait until that is done, or name "
            "another place with --out"
        ) from None
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        _sign(place)
        yield
    finally:
        for name in (HOLDER, LOCK):
            (place / name).unlink(missing_ok=True)
        lock.release()


def _sign(place: Path) -> None:
    """Say who holds the folder; a note to people, so that it may as well be missing."""
    holder = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(sys.argv[1:2]),
    }
    with suppress(OSError):
        (place / HOLDER).write_text(json.dumps(holder) + "\n", encoding="utf-8")


def _holder(place: Path) -> str:
    try:
        found = json.loads((place / HOLDER).read_text(encoding="utf-8"))
        since = datetime.fromisoformat(found["since"]).isoformat(" ")
        return f"process {int(found['pid'])} on {found['host']!r} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _unwritable(place: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"cannot write to {str(place)!r} ({os_reason(error)}); name another place with --out"
    )
