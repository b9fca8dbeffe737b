"""Fetch one archive, make sure that it is the right one, and unpack it.

It knows nothing about images. A fetch that is interrupted leaves nothing behind, and nothing
waits for a silent network longer than seconds.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cliptune.errors import DataError, UnavailableError
from cliptune.system.atomic import atomic_path
from cliptune.system.formatting import duration

__all__ = ["Download", "fetch_dataset", "require_reachable", "unpack_zip"]

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 8.0
_CHUNK_BYTES = 1 << 18
_MAX_UNPACKED_BYTES = 4 << 30

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """A file that is to be had from a public place.

    Attributes:
        url: Its address.
        sha256: The digest of the right file, in hex.
        n_bytes: The size of the right file.
    """

    url: str
    sha256: str
    n_bytes: int

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


def fetch_dataset(
    download: Download,
    target: Path,
    *,
    unpack: Callable[[Path, Path], None],
    places: Sequence[Path],
    progress: Progress | None = None,
) -> Path:
    """Return ``target``, made from the archive if it is not there yet.

    Args:
        download: The archive.
        target: The folder to make; it appears whole or not at all.
        unpack: Fills a folder (second argument) from the archive (first argument).
        places: Folders in which a user may have put the archive by hand.
        progress: Called with (bytes so far, bytes in all) while it is fetched.

    Raises:
        UnavailableError: The archive cannot be had, or is not the right one.
        DataError: The archive cannot be unpacked.
    """
    if target.is_dir():
        return target
    put = next((p / download.filename for p in places if (p / download.filename).is_file()), None)
    if put is not None:
        _require_digest(put, download)
        _unpack_whole(put, target, unpack)
        return target
    archive = target.with_name(download.filename)
    _log.info("fetching %s", download.url)
    _download(download, archive, progress or (lambda done, total: None), places)
    _unpack_whole(archive, target, unpack)
    archive.unlink()
    return target


def _require_digest(path: Path, download: Download) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != download.sha256:
        raise UnavailableError(
            f"{str(path)!r} is not the file that is expected (SHA-256 {found[:12]}... instead of "
            f"{download.sha256[:12]}...); get it again from {download.url}"
        )


def _unpack_whole(archive: Path, target: Path, unpack: Callable[[Path, Path], None]) -> None:
    """Unpack beside the target and rename, so that no half of it is ever seen."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
    except OSError as error:
        raise UnavailableError(f"cannot write {str(target)!r} ({error.strerror})") from error
    try:
        unpack(archive, work)
        work.chmod(0o755)
        _rename_unless_there(work, target)
    except OSError as error:
        raise UnavailableError(f"cannot unpack {str(archive)!r} ({error})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _rename_unless_there(work: Path, target: Path) -> None:
    try:
        work.rename(target)
    except OSError:
        # Another process may have been quicker; what it made is as good.
        if not target.is_dir():
            raise


def _download(download: Download, target: Path, progress: Progress, places: Sequence[Path]) -> None:
    where = " or ".join(repr(str(place)) for place in places)
    remedy = f"get {download.url} elsewhere and put it into {where}"
    with atomic_path(target) as temporary:
        try:
            with _open_url(download.url) as response, temporary.open("wb") as file:
                digest = _copy(response, file, download.n_bytes, progress)
        except (OSError, HTTPException) as error:
            raise UnavailableError(
                f"cannot fetch {download.url} ({_reason(error)}); {remedy}"
            ) from error
        if digest != download.sha256:
            raise UnavailableError(
                f"{download.url} gave another file than expected (SHA-256 {digest[:12]}... "
                f"instead of {download.sha256[:12]}...); {remedy}"
            )


def _copy(source: HTTPResponse, target: BinaryIO, n_bytes: int, progress: Progress) -> str:
    digest, done = hashlib.sha256(), 0
    progress(done, n_bytes)
    # One byte more than expected is enough to know that it is another file.
    while done <= n_bytes and (chunk := source.read(min(_CHUNK_BYTES, n_bytes + 1 - done))):
        target.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        progress(done, n_bytes)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__


def require_reachable(url: str) -> None:
    """Make sure that a server answers at all, whatever it answers.

    Raises:
        UnavailableError: It does not answer within seconds.
    """
    try:
        _open_url(url).close()
    except urllib.error.HTTPError:
        return
    except (OSError, HTTPException) as error:
        raise UnavailableError(f"{url} cannot be reached ({_reason(error)})") from error


def _open_url(url: str) -> HTTPResponse:
    """Open an address within seconds.

    A socket's timeout does not hold for looking up a name, which may take half a minute on a
    machine without a network; so the opening happens in a thread that can be left behind.
    """
    answers: list[HTTPResponse | Exception] = []
    left = threading.Event()

    def ask() -> None:
        try:
            response = urllib.request.urlopen(url, timeout=_ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            error.close()
            answers.append(error)
            return
        except (OSError, HTTPException) as error:
            answers.append(error)
            return
        answers.append(response)
        if left.is_set():
            response.close()

    thread = threading.Thread(target=ask, name="cliptune-fetch", daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS + 1)
    if not answers:
        left.set()
        raise TimeoutError(f"no answer within {duration(_ANSWER_SECONDS)}")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def unpack_zip(archive: Path, folder: Path, *, top: str, suffixes: tuple[str, ...]) -> None:
    """Unpack files of some suffixes from below one folder of a zip archive.

    Args:
        archive: The zip file.
        folder: Where to; ``top`` itself is left out of the paths.
        top: The folder in the archive.
        suffixes: Endings of the files that are wanted, in lower case.

    Raises:
        DataError: The archive is damaged, would write outside of ``folder``, or holds
            implausibly much.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            entries = [e for e in zipped.infolist() if e.filename.lower().endswith(suffixes)]
            if sum(entry.file_size for entry in entries) > _MAX_UNPACKED_BYTES:
                raise DataError(f"{str(archive)!r} would unpack to more than 4 GiB; not unpacked")
            for entry in entries:
                path = _safe_path(entry.filename, archive)
                if path.parts[0] != top:
                    continue
                target = folder.joinpath(*path.parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{str(archive)!r} is no whole zip archive ({error})") from error


def _safe_path(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise DataError(f"{str(archive)!r} holds the unsafe path {name!r}; not unpacked")
    return path
