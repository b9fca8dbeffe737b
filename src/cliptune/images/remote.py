"""Data on object stores and web servers, copied into the cache and read from there.

It knows addresses and objects, through fsspec, and nothing about layouts. It only reads. What was
copied is kept: a copy that was interrupted goes on, and another opening fetches what has changed.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.errors import DataError, InputError, MissingExtraError, UnavailableError
from cliptune.system.atomic import atomic_path
from cliptune.system.paths import cache_dir
from cliptune.system.redaction import hide_passwords

__all__ = ["RemoteObject", "copy_remote", "fetch_object", "is_remote", "list_remote", "stat_remote"]

_PROTOCOLS = ("s3", "gs", "gcs", "http", "https")
_SECONDS_TO_REACH = 9.0
_WORKERS = 16
_FORMER_MARKS = "objects.jsonl"  # once within the folder, where it was taken for a table
_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "Last-Modified", "mtime", "updated")

Progress = Callable[[int, int], None]
FileSystem = Any  # Any: fsspec's, a library without types


@dataclass(frozen=True)
class RemoteObject:
    """A remote file.

    Attributes:
        key: As the library for it has it.
        name: Relative to what was named.
        size: In bytes.
        mark: What changes when the file does.
        version: The same, as short as it can be had, and the same from a list as from the file.
    """

    key: str
    name: str
    size: int
    mark: str
    version: str


def is_remote(data: str) -> bool:
    """Tell addresses such as ``s3://bucket/folder`` from paths."""
    return data.partition("://")[0] in _PROTOCOLS and "://" in data


def copy_remote(address: str, *, progress: Progress | None = None) -> Path:
    """Copy what an address names into the cache, but for what is there already.

    Args:
        address: A folder of objects or one object; of a web server one file.
        progress: Called with (bytes so far, bytes in all).

    Returns:
        The folder or file in the cache.

    Raises:
        InputError: There is nothing at the address.
        DataError: A key leads out of the folder.
        MissingExtraError: The library for this kind of address is not installed.
        UnavailableError: It cannot be reached within ten seconds, or breaks off.
    """
    shown, objects = hide_passwords(address), list_remote(address)
    files, root = _open(address)
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]
    place = cache_dir() / "remote" / digest
    _copy(files, objects, place, shown, progress or (lambda done, total: None))
    is_file = len(objects) == 1 and objects[0].key.rstrip("/") == root.rstrip("/")
    return place / objects[0].name if is_file else place


def list_remote(address: str) -> list[RemoteObject]:
    """List what an address names, and fetch nothing.

    Args:
        address: A folder of objects or one object; of a web server one file.

    Raises:
        CliptuneError: See ``copy_remote``.
    """
    shown = hide_passwords(address)
    files, root = _open(address)
    objects = _within_seconds(lambda: list(_list(files, root, shown)), shown)
    if not objects:
        raise InputError(f"there is nothing at {shown!r}; check the address")
    return objects


def stat_remote(addresses: Sequence[str]) -> list[RemoteObject]:
    """Ask for each of some files, in their order.

    Raises:
        CliptuneError: One is not there, or cannot be reached; see ``copy_remote``.
    """

    def ask(address: str) -> RemoteObject:
        files, root = _open(address)
        return _within_seconds(lambda: [_one(files, root)], hide_passwords(address))[0]

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="cliptune-remote") as pool:
        return list(pool.map(ask, addresses))


def fetch_object(address: str, target: Path) -> None:
    """Copy one file here.

    Raises:
        CliptuneError: It is not there, cannot be reached, or breaks off.
    """
    files, root = _open(address)
    try:
        files.get_file(root, str(target))
    except Exception as error:  # every library below has errors of its own
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnavailableError(
            f"{hide_passwords(address)!r} broke off ({reason}); repeat the command with --retry"
        ) from error


def _open(address: str) -> tuple[FileSystem, str]:
    import fsspec

    protocol = address.partition("://")[0]
    options: Mapping[str, Any] = {}  # Any: of fsspec
    if protocol == "s3":
        options = {
            "config_kwargs": {
                "connect_timeout": 4,
                "read_timeout": 30,
                "retries": {"max_attempts": 1},
            },
            "anon": not _has_credentials(),
            "use_listings_cache": False,
        }
    try:
        found = fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        if protocol in ("gs", "gcs"):
            raise InputError(
                f"reading {protocol}:// addresses needs the package gcsfs: pip install gcsfs"
            ) from error
        raise MissingExtraError("remote", f"reading {protocol}:// addresses") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{hide_passwords(address)!r} is no address ({error})") from error
    return found[0], str(found[1])


def _has_credentials() -> bool:
    try:
        import botocore.session
    except ImportError as error:
        raise MissingExtraError("remote", "reading s3:// addresses") from error
    return botocore.session.get_session().get_credentials() is not None


def _within_seconds(work: Callable[[], list[RemoteObject]], shown: str) -> list[RemoteObject]:
    """Do work that may wait for a server that never answers."""
    result: list[list[RemoteObject]] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except Exception as error:  # noqa: BLE001  every library below has errors of its own
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS_TO_REACH)
    if result:
        return result[0]
    if failed and isinstance(failed[0], (InputError, DataError)):
        raise failed[0]
    cause = failed[0].__cause__ if failed else None
    if failed and isinstance(failed[0], FileNotFoundError) and not isinstance(cause, OSError):
        raise InputError(f"there is nothing at {shown!r}; check the address") from failed[0]
    reason = "no answer within 9 s" if not failed else " ".join(str(failed[0]).split())[:160]
    raise UnavailableError(
        f"cannot reach {shown!r} ({reason}); check the address, the network and the credentials"
    )


def _list(files: FileSystem, root: str, shown: str) -> Iterator[RemoteObject]:
    if shown.startswith(("http://", "https://")):
        yield _one(files, root)
        return
    found = files.find(root, detail=True)
    top = root.rstrip("/")
    for key, facts in sorted(found.items()):
        name = key.removeprefix(top).lstrip("/") or key.rpartition("/")[2]
        if key.endswith("/") or facts.get("type") == "directory":
            continue
        parts = name.split("/")
        if ".." in parts or "" in parts or "\0" in name:
            raise DataError(f"{shown!r} has the object {key!r}, which leads out of it; refused")
        yield _as_object(key, name, facts)


def _one(files: FileSystem, root: str) -> RemoteObject:
    facts = files.info(root)
    if facts.get("type") == "directory":
        raise FileNotFoundError(root)
    name = root.partition("?")[0].rstrip("/").rpartition("/")[2] or "data"
    return _as_object(root, name, facts)


def _as_object(key: str, name: str, facts: Mapping[str, Any]) -> RemoteObject:
    size, found = int(facts.get("size") or 0), (facts.get(key) for key in _VERSIONS)
    return RemoteObject(key, name, size, _mark(facts), str(next(filter(None, found), "")))


def _mark(facts: Mapping[str, Any]) -> str:
    """Return what changes when an object does."""
    keys = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "updated", "size")
    return "|".join(str(facts[key]) for key in keys if facts.get(key) is not None)


def _copy(
    files: FileSystem, objects: list[RemoteObject], place: Path, shown: str, report: Progress
) -> None:
    """Fetch what is missing or has changed, and drop what is gone."""
    known = _read_marks(place)
    total, lock = sum(one.size for one in objects), threading.Lock()
    done = 0
    report(0, total)
    _drop_others(place, {one.name for one in objects}, known)

    def fetch(one: RemoteObject) -> None:
        nonlocal done
        target = place / one.name
        if known.get(one.name) != one.mark or not target.is_file():
            with atomic_path(target) as temporary:
                files.get_file(one.key, str(temporary))
            with lock, _marks_of(place).open("a", encoding="utf-8") as marks:
                marks.write(json.dumps([one.name, one.mark]) + "\n")
        with lock:
            done += one.size
            report(done, total)

    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="cliptune-remote")
    try:
        for _ in pool.map(fetch, objects):
            pass
    except UnavailableError:
        raise
    except Exception as error:  # every library below has errors of its own
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnavailableError(
            f"{shown!r} broke off ({reason}); the same command goes on from here"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _marks_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.jsonl")


def _read_marks(place: Path) -> dict[str, str]:
    """Read which versions were copied; the last line of a killed process may be cut."""
    marks: dict[str, str] = {}
    path = _marks_of(place)
    if (former := place / _FORMER_MARKS).is_file() and not path.exists():
        former.replace(path)
    if not path.is_file():
        return marks
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            name, mark = json.loads(line)
        except (ValueError, TypeError):
            continue
        marks[str(name)] = str(mark)
    return marks


def _drop_others(place: Path, names: set[str], known: Mapping[str, str]) -> None:
    """Remove what is gone, and folders that it leaves empty: these would be classes."""
    for name in set(known) - names:
        path = place / name
        path.unlink(missing_ok=True)
        with suppress(OSError):  # one that is not empty, or went before
            while (path := path.parent) != place:
                path.rmdir()
