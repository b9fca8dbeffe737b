r"""Journal: acts in a file that only grows, one line each, on the disk before they are confirmed.

It knows files and acts, and nothing about images but their digests. Several processes may write
to one journal: each takes a lock for a line and reads first what the others wrote. A line that a
killed process left half-written was confirmed to nobody; the next writer cuts it off.

::

    {"cliptune_journal": 1, "data": "flowers/", "made": "2026-...", "sketch": ["00a1...", ...]}
    {"act": 1, "kind": "label", "who": "ada", "tab": "k3", "when": "2026-...",
     "images": ["5f0c..."], "answer": "rose", "before": [null]}
    {"act": 2, "kind": "undo", "who": "ada", "tab": "k3", "when": "2026-...", "of": 1}
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cliptune.annotations.acts import Act, Answer, Kind
from cliptune.annotations.standing import Standing
from cliptune.errors import DataError, UnavailableError
from cliptune.system.atomic import os_reason
from cliptune.system.file_kinds import exists, open_regular
from cliptune.system.json_files import parse_object
from cliptune.system.typed import require_types

__all__ = ["Journal", "is_journal", "journal_data"]

_FORMAT = "cliptune_journal"
_BEGINS = f'{{"{_FORMAT}"'.encode()
_VERSION = 1
_LONGEST_HEADER = 1 << 20  # bytes
_SKETCHED = 64  # images by which a journal knows its data again
_LEAST_KNOWN = 0.25  # share of these that must still be there
_WAIT_SECONDS = 10.0


class Journal:
    """A journal that is open for reading and for acts.

    Args:
        path: The file, which must be there; see ``open`` for one that may have to be made.

    Attributes:
        path: The file.
        data: What the data set was called when the journal was begun.
        standing: What the acts add up to.

    Raises:
        DataError: It is no journal, or a line of it is broken.
        UnavailableError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.standing = Standing()
        self._read_to = 0
        self._thread = threading.RLock()
        self._lock = FileLock(path.with_name(path.name + ".lock"), timeout=_WAIT_SECONDS)
        header = _read_header(path)
        self.data: str = header["data"]
        self.sketch: tuple[str, ...] = tuple(header["sketch"])
        self.refresh()

    @classmethod
    def open(cls, path: Path, *, data: str, contents: Collection[str]) -> Journal:
        """Open the journal of a data set, and begin one where there is none.

        Args:
            path: The file.
            data: What the data set is called.
            contents: Digests of its images, in hex.

        Raises:
            DataError: It is a journal of other data; the message names both.
            UnavailableError: It cannot be read or made.
        """
        if not exists(path):
            _begin(path, data, contents)
        journal = cls(path)
        journal.require_data(data, contents)
        return journal

    def require_data(self, data: str, contents: Collection[str]) -> None:
        """Make sure that the journal is about these images.

        Images may have come and gone; where less than a quarter of those that it was begun with
        are there, it is a journal of other data.

        Raises:
            DataError: It is; the message names both.
        """
        there = set(contents)
        known = sum(image in there for image in self.sketch)
        if known < _LEAST_KNOWN * len(self.sketch):
            raise DataError(
                f"{str(self.path)!r} is a journal of other data: it was begun for {self.data!r}, "
                f"and {known} of {len(self.sketch)} images that it knows are in {data!r}; name "
                "another with --journal"
            )

    def refresh(self) -> int:
        """Take in what was written since the last look; return how many acts that were."""
        with self._thread:
            try:
                with open_regular(self.path) as file:
                    file.seek(self._read_to)
                    text = file.read()
            except OSError as error:
                raise UnavailableError(
                    f"cannot read {str(self.path)!r} ({os_reason(error)})"
                ) from error
            whole = text[: text.rfind(b"\n") + 1]
            before = len(self.standing.acts)
            for line in whole.split(b"\n")[:-1]:
                if self._read_to:
                    self._take(line)
                self._read_to += len(line) + 1
            return len(self.standing.acts) - before

    def label(
        self,
        images: Sequence[str],
        answer: Answer,
        *,
        who: str,
        tab: str,
        before: Sequence[Answer | None] | None = None,
    ) -> Act:
        """Say something of images.

        Args:
            images: Their digests.
            answer: What is said of each.
            who: By whom.
            tab: On which page or by which command.
            before: What the person saw to be said of each; what stands now otherwise.

        Raises:
            UnavailableError: The line did not get onto the disk; nothing was said.
        """
        with self._writing():
            seen = before or [self.standing.answer(image) for image in images]
            return self._append(
                "label", who, tab, images=tuple(images), answer=answer, before=tuple(seen)
            )

    def undo(self, *, who: str, tab: str) -> Act | None:
        """Undo the last act of a page; None where there is none."""
        with self._writing():
            act = self.standing.next_undo(tab)
            return act and self._append("undo", who, tab, of=act.number)

    def redo(self, *, who: str, tab: str) -> Act | None:
        """Do again what was undone last; None where there is nothing."""
        with self._writing():
            act = self.standing.next_redo(tab)
            return act and self._append("redo", who, tab, of=act.number)

    def add_class(self, label: str, *, who: str, tab: str) -> Act:
        """Name a class that no image need have yet.

        Raises:
            InputError: It is no label.
        """
        name = Answer.of("label", label).label
        with self._writing():
            return self._append("class", who, tab, label=name)

    def reserve(self, images: Sequence[str], *, who: str, tab: str) -> Act:
        """Keep images for the test."""
        with self._writing():
            return self._append("reserve", who, tab, images=tuple(images))

    def open_test(self, facts: Mapping[str, Any], *, who: str, tab: str) -> Act:
        """Record that the test was opened; ``facts`` are plain JSON values."""
        with self._writing():
            return self._append("open-test", who, tab, facts=facts)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._thread, self._lock:
                self.refresh()
                yield
        except Timeout as error:
            raise UnavailableError(
                f"{str(self.path)!r} is held by another process; try again"
            ) from error

    def _append(self, kind: Kind, who: str, tab: str, **parts: Any) -> Act:  # Any: fields of Act
        act = Act(
            number=len(self.standing.acts) + 1,
            kind=kind,
            who=who,
            tab=tab,
            when=datetime.now(UTC).isoformat(timespec="milliseconds"),
            **parts,
        )
        line = act.to_line()
        _append_line(self.path, line, self._read_to)
        self._read_to += len(line)
        self.standing.take(act)
        return act

    def _take(self, line: bytes) -> None:
        place = len(self.standing.acts) + 1
        where = f"line {place + 1} of {str(self.path)!r}"
        act = Act.from_line(line, where)
        if act.number != place or (act.of or 1) > place:
            raise DataError(f"{where} is act {act.number}, expected {place}; restore the journal")
        self.standing.take(act)


def is_journal(path: str | Path) -> bool:
    """Tell whether a file is a journal, by how it begins."""
    try:
        with open_regular(path) as file:
            return file.read(len(_BEGINS)) == _BEGINS
    except OSError:
        return False


def journal_data(path: str | Path) -> str:
    """Return what the data set of a journal was called when it was begun.

    Raises:
        DataError: It is no journal.
    """
    data: str = _read_header(Path(path))["data"]
    return data


def _begin(path: Path, data: str, contents: Collection[str]) -> None:
    header = {
        _FORMAT: _VERSION,
        "data": data,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "sketch": sorted(set(contents))[:_SKETCHED],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock"), timeout=_WAIT_SECONDS):
            if not path.exists():
                _append_line(path, (json.dumps(header) + "\n").encode(), 0)
    except OSError as error:
        raise UnavailableError(f"cannot write {str(path)!r} ({os_reason(error)})") from error


def _read_header(path: Path) -> dict[str, Any]:  # Any: plain JSON values
    where = f"line 1 of {str(path)!r}"
    try:
        with open_regular(path) as file:
            line = file.readline(_LONGEST_HEADER)
    except OSError as error:
        raise UnavailableError(f"cannot read {str(path)!r} ({os_reason(error)})") from error
    if not line.startswith(_BEGINS):
        raise DataError(f"{str(path)!r} is no journal of labels; name another with --journal")
    header = parse_object(line.decode("utf-8", "replace"), where, DataError)
    if header[_FORMAT] != _VERSION:
        raise DataError(f"{str(path)!r} is a journal of version {header[_FORMAT]!r:.40}; upgrade")
    try:
        require_types(header.get("data"), str, "data")
        require_types(header.get("sketch"), list[str], "sketch")
    except TypeError as error:
        raise DataError(f"{where} is broken: {error}; restore the journal") from error
    return header


def _append_line(path: Path, line: bytes, at: int) -> None:
    """Write a line behind byte ``at`` and wait for the disk; on failure nothing of it stays."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(file, at)  # what a killed process left of a line
            _write_all(file, line, at)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, at)
            raise
        finally:
            os.close(file)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {str(path)!r} ({os_reason(error)}); nothing was recorded: free space "
            "or name another place with --journal"
        ) from error


def _write_all(file: int, line: bytes, at: int) -> None:
    done = 0
    while done < len(line):
        done += os.pwrite(file, line[done:], at + done)
