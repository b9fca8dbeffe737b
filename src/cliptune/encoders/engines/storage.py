"""Converted graphs on disk: kept by an encoder's fingerprint, checked whenever they are used.

::

    CACHE/engines/
      names/<key>.json             which fingerprint a model's files gave, see ``identity``
      <fingerprint>/
        facts.json tokenizer.json  the encoder without its towers
        check.json                 what its self-check found
        choice-<...>.json          what was measured and chosen, see ``choices``
        <format>/                  openvino, openvino-int8 or onnx
          <tower>.json             versions, and size and SHA-256 of each file
          <tower>.checked.json     the state of each file when its SHA-256 was right
          <tower>.xml, .bin, .onnx the graph

A graph is used if its record was written, by the same versions, and its files are those that
were written; otherwise it is made again. Files whose state (see ``file_state``) is that of their
last check are not read for it again: they are hundreds of megabytes. This module knows nothing
about what is in a graph.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.encoders.engines.facts import EncoderFacts
from cliptune.encoders.engines.token_ids import StoredTokenizer
from cliptune.errors import RunError, UnavailableError
from cliptune.system.atomic import atomic_path
from cliptune.system.file_state import FileState
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    from filelock import FileLock

    from cliptune.encoders.engines.self_check import SelfCheck

from cliptune.system.versions import installed_version

__all__ = ["GraphStore", "read_json", "write_json"]

_LOG = logging.getLogger(__name__)
_LAYOUT = 1  # of graphs and records; raise it when they change
_PACKAGES = {"openvino": ("openvino",), "openvino-int8": ("openvino", "nncf"), "onnx": ("torch",)}
_MAKING = ".making-"
_SUFFIXES = {"onnx": ".onnx"}


class GraphStore:
    """What is kept of one encoder.

    Args:
        cache_dir: The cache of everything that can be made again.
        fingerprint: The encoder's.
    """

    def __init__(self, cache_dir: Path, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.path = cache_dir / "engines" / fingerprint[:32]

    @cached_property
    def _turn(self) -> FileLock:
        from filelock import FileLock  # a start from graphs that are kept does without

        return FileLock(self.path / "making.lock")

    def read_facts(self) -> EncoderFacts | None:
        """Return the encoder without its towers, or None where it is not (rightly) recorded."""
        try:
            facts = EncoderFacts.from_dict(read_json(self.path / "facts.json") or {})
        except (KeyError, TypeError, ValueError):
            return None
        return facts if facts.fingerprint == self.fingerprint else None

    def note_use(self) -> None:
        """Let the time of the facts tell when all this was last used, for pruning."""
        with suppress(OSError):  # a cache that cannot be written to is used nevertheless
            os.utime(self.path / "facts.json")

    def write_facts(self, facts: EncoderFacts, tokenizer: StoredTokenizer | None) -> None:
        """Record the encoder without its towers; without a tokenizer where none can be stored."""
        if tokenizer is not None:
            with atomic_path(self.path / "tokenizer.json") as temporary:
                temporary.write_text(tokenizer.to_json(), encoding="utf-8")
        write_json(self.path / "facts.json", facts.to_dict())

    def write_check(self, check: SelfCheck) -> None:
        """Remember what the self-check of the encoder found."""
        write_json(self.path / "check.json", check.to_dict())

    def read_tokenizer(self) -> StoredTokenizer | None:
        """Return the stored tokenizer, or None."""
        path = self.path / "tokenizer.json"
        try:
            return StoredTokenizer.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a CheckpointError is one
            return None

    def find(self, kind: str, tower: str) -> Path | None:
        """Return the graph's file if it is whole and of these versions; else say why, or None."""
        record = self.record(kind, tower)
        if record is None:
            return None
        if record.get("versions") != _versions(kind):
            _LOG.warning("the %s graph of another version is made again", kind)
            return None
        if not self._is_whole(kind, tower, record["files"]):
            _LOG.warning("the %s graph was cut short or altered; it is made again", kind)
            return None
        return self.path / kind / f"{tower}{_SUFFIXES.get(kind, '.xml')}"

    def _is_whole(self, kind: str, tower: str, files: Mapping[str, Any]) -> bool:
        """Check a graph's files against their record; remember how they stood if all is well."""
        folder, memo = self.path / kind, self.path / kind / f"{tower}.checked.json"
        checked = read_json(memo) or {}
        states = {}
        for name, known in files.items():
            try:
                states[name] = FileState.of(folder / name)
                same = states[name].size == known["bytes"] and (
                    checked.get(name) == list(states[name])
                    or _digest(folder / name) == known["sha256"]
                )
            except OSError:
                return False
            if not same:
                return False
        news = {name: list(state) for name, state in states.items()} != checked
        if news and all(state.has_settled() for state in states.values()):
            with suppress(UnavailableError):  # the graph is used from where nothing can be written
                write_json(memo, states)
        return True

    def looks_whole(self, kind: str, tower: str) -> bool:
        """Say whether ``find`` will find the graph, by its files' sizes, which takes no time."""
        record = self.record(kind, tower)
        if record is None or record.get("versions") != _versions(kind):
            return False
        files = record["files"].items()
        return all(_has_size(self.path / kind / name, known["bytes"]) for name, known in files)

    def record(self, kind: str, tower: str) -> dict[str, Any] | None:  # Any: plain JSON values
        """Return what was noted of a graph when it was made."""
        found = read_json(self.path / kind / f"{tower}.json")
        return found if found is None or _has_files(found) else None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only process that makes graphs of this encoder; wait for whoever does.

        What killed processes left half-made is removed: nobody else can be making it.

        Raises:
            UnavailableError: The cache cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._turn.acquire()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            if self._turn.lock_counter == 1:  # an 8-bit graph takes a turn within a turn
                for left in self.path.glob(f"{_MAKING}*"):
                    shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            self._turn.release()

    @contextmanager
    def making(self, kind: str, tower: str, notes: Mapping[str, Any]) -> Iterator[Path]:
        """Give a folder for a graph's files; they are taken over when the block ends well.

        Args:
            kind: The format.
            tower: Which tower's graph.
            notes: What else to remember of it, plain JSON values; filled within the block.

        Raises:
            UnavailableError: The cache cannot be written to.
        """
        target = self.path / kind
        from filelock import FileLock

        try:
            target.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=self.path, prefix=_MAKING))
        except OSError as error:
            raise _unwritable(target, error) from error
        try:
            yield folder
            files = {path.name: _describe(path) for path in sorted(folder.iterdir())}
            with FileLock(self.path / "lock"):
                (target / f"{tower}.json").unlink(missing_ok=True)
                for name in files:
                    (folder / name).replace(target / name)
                record = {"versions": _versions(kind), "files": files, **notes}
                write_json(target / f"{tower}.json", record)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read an object from a file; None where there is none."""
    try:
        return read_object(path)
    except RunError:
        return None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object to a file in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _versions(kind: str) -> dict[str, Any]:
    found = {package: installed_version(package) for package in _PACKAGES[kind]}
    return {"layout": _LAYOUT, **found}


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def _has_files(record: Mapping[str, Any]) -> bool:
    files = record.get("files")
    return isinstance(files, dict) and all(
        isinstance(known, dict) and {"bytes", "sha256"} <= known.keys() and "/" not in name
        for name, known in files.items()
    )


def _has_size(path: Path, n_bytes: int) -> bool:
    try:
        return path.stat().st_size == n_bytes
    except OSError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritable(path: Path, error: OSError) -> UnavailableError:
    if isinstance(error, UnavailableError):
        return error
    return UnavailableError(
        f"cannot write to the cache {str(path)!r} ({error.strerror or error}); make room or name "
        "another --cache-dir"
    )
