"""Who may change a study now, and which worker is still alive: locks that die with a process.

A lock that the system takes away from a killed process needs no clock: a worker whose lock can
be had is dead, at once and for certain. It knows nothing about trials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from cliptune.errors import UnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

__all__ = ["FileLocks", "Locks", "PostgresLocks"]


class Locks(Protocol):
    """Locks that every worker on one study shares."""

    def exclusive(self) -> Any:  # Any: a context manager of nothing
        """Enter a block that one worker at a time is in."""
        ...

    def hold(self, worker: str) -> None:
        """Take a worker's own lock and keep it until ``close``, or until the process ends."""
        ...

    def is_alive(self, worker: str) -> bool:
        """Say whether someone holds a worker's lock."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class FileLocks:
    """Lock files beside a database file; they work between processes of one machine.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, FileLock] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(
                f"cannot keep a study at {str(folder.parent)!r} ({error.strerror}); "
                "name another place with --storage"
            ) from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Enter a block that one worker at a time is in."""
        with self._lock("study"):
            yield

    def hold(self, worker: str) -> None:
        """Take a worker's own lock."""
        lock = self._lock(worker)
        lock.acquire()
        self._held[worker] = lock

    def is_alive(self, worker: str) -> bool:
        """Say whether someone holds a worker's lock; the file of a dead one is removed."""
        if worker in self._held:
            return True
        try:
            with self._lock(worker).acquire(timeout=0):
                Path(self._folder / f"{worker}.lock").unlink(missing_ok=True)
        except Timeout:
            return True
        return False

    def close(self) -> None:
        """Let go of everything."""
        for worker, lock in self._held.items():
            lock.release()
            (self._folder / f"{worker}.lock").unlink(missing_ok=True)
        self._held.clear()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._folder / f"{name}.lock")


class PostgresLocks:
    """Advisory locks of one connection; the server drops them when the connection ends.

    Args:
        url: The database.
        study: Name of the study; other studies have other locks.
    """

    def __init__(self, url: URL, study: str) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection = engine.connect()
        self._study = study
        self._held: set[str] = set()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Enter a block that one worker at a time is in."""
        self._call("pg_advisory_lock", "exclusive")
        try:
            yield
        finally:
            self._call("pg_advisory_unlock", "exclusive")

    def hold(self, worker: str) -> None:
        """Take a worker's own lock."""
        self._call("pg_advisory_lock", worker)
        self._held.add(worker)

    def is_alive(self, worker: str) -> bool:
        """Say whether someone holds a worker's lock."""
        if worker in self._held:
            return True
        if self._call("pg_try_advisory_lock", worker):
            self._call("pg_advisory_unlock", worker)
            return False
        return True

    def close(self) -> None:
        """Let go of everything."""
        self._connection.close()
        self._held.clear()

    def _call(self, function: str, name: str) -> bool | None:
        from sqlalchemy import text

        digest = hashlib.sha256(f"cliptune {self._study} {name}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        # The result of the two that return nothing is an empty text.
        found = self._connection.execute(text(f"SELECT {function}(:key)"), {"key": key})
        return found.scalar() is True
