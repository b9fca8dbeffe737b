"""RunDir: what a finished run leaves on disk.

It knows nothing about what the files mean, only that they are complete and unaltered: the
manifest is written last and holds the SHA-256 of every other file, so a directory without one
is plainly unfinished. The digests protect against accidents. Whoever can write the directory can
write other digests too, so those who read a file check what is in it.

::

    RUN/
      config.json      the options that made it
      metrics.json     the scores
      predictions.parquet, *.csv, *.png, *.safetensors ...
      checkpoint/      what an unfinished run needs to go on; removed at its end
      manifest.json    format version, versions, seed, machine, digest of each file; written last
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cliptune.errors import RunError, UnavailableError
from cliptune.system.atomic import TEMPORARY, atomic_path, os_reason
from cliptune.system.escaping import for_csv
from cliptune.system.file_kinds import is_file, is_folder
from cliptune.system.inside import file_inside
from cliptune.system.json_files import read_object
from cliptune.system.places import require_writable

__all__ = [
    "CHECKPOINT",
    "FORMAT_VERSION",
    "HOLDER",
    "LOCK",
    "RunDir",
    "describe_machine",
    "require_finished",
    "require_free_place",
    "require_same_options",
]

FORMAT_VERSION = 1
CHECKPOINT = "checkpoint"  # the folder of an unfinished run's state; no part of a finished run
LOCK, HOLDER = ".lock", ".holder.json"  # of the process that works there; see ``run_place``
_MANIFEST = "manifest.json"
_RECORDED_PACKAGES = ("cliptune", "torch", "open_clip_torch", "timm", "transformers", "numpy")

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class RunDir:
    """One run's directory: write into a new one, or read a finished one.

    Attributes:
        path: The directory.
        files: The recorded files of a run that ``open`` has checked; no others are read. None
            while a run is being written.
    """

    path: Path
    files: frozenset[str] | None = None

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any]) -> RunDir:
        """Make a new run directory and record its options.

        An unfinished directory of the same options is taken up again.

        Args:
            path: Where; parents are made.
            config: The options, as plain JSON values, and the digest of the data: files of
                other data that a killed run left would otherwise stay among those of this one.

        Raises:
            RunError: There is a finished run, other files, or an unfinished run with other
                options.
            UnavailableError: The place cannot be written to.
        """
        run = cls(Path(path))
        entries = require_free_place(run.path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(run.path, error) from error
        if "config.json" in entries:
            require_same_options(run.read_json("config.json"), config, run.path)
        run._remove_leftovers()
        run.write_json("config.json", config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """Open a finished run and check every file against its recorded digest.

        Raises:
            RunError: It is missing, unfinished, altered, or of a newer format, or its manifest
                does not record files of the directory.
        """
        run = cls(Path(path))
        require_finished(run.path)
        manifest = run.read_json(_MANIFEST)
        version = manifest.get("format_version")
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise RunError(
                f"{str(path)!r} has format version {version!r:.40}; this cliptune reads up to "
                f"{FORMAT_VERSION}: upgrade cliptune"
            )
        digests = _read_digests(manifest, run.path)
        run._check_digests(digests)
        return cls(run.path, frozenset(digests))

    def file(self, name: str) -> Path:
        """Return where a file of the run is, to read it.

        Raises:
            RunError: It leads out of the directory, or a finished run does not record it.
        """
        if self.files is not None and name not in {*self.files, _MANIFEST}:
            raise RunError(f"{str(self.path)!r} records no file {name!r}; run it again")
        return file_inside(self.path, name)

    def _check_digests(self, digests: Mapping[str, str]) -> None:
        for name, digest in digests.items():
            file = file_inside(self.path, name)
            if not file.is_file():
                raise RunError(f"{str(self.path)!r} lacks its file {name!r}; run it again")
            if _file_digest(file) != digest:
                raise RunError(
                    f"{str(file)!r} was altered or cut since the run wrote it (SHA-256 differs); "
                    "restore it or run again"
                )

    def _remove_leftovers(self) -> None:
        """Remove what a process that was killed had begun to write; the folder is ours."""
        for path in self.path.rglob(f"{TEMPORARY}*"):
            if path.is_file() and path.relative_to(self.path).parts[0] != CHECKPOINT:
                path.unlink(missing_ok=True)

    def _own_files(self) -> Iterator[Path]:
        for path in self.path.rglob("*"):
            within = path.relative_to(self.path)
            if path.is_file() and within.parts[0] not in (_MANIFEST, CHECKPOINT, LOCK, HOLDER):
                yield path

    @property
    def manifest(self) -> Json:
        """What ``finish`` recorded."""
        return self.read_json(_MANIFEST)

    def read_json(self, name: str) -> Json:
        """Read one JSON object of the run.

        Raises:
            RunError: The file is missing, not recorded, or no JSON object.
        """
        return read_object(self.file(name))

    def write_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """Write one JSON object atomically; not-a-number becomes an error, not bad JSON."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        return self.write_text(name, text + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write one text file atomically, in UTF-8."""
        with self.writing(name) as temporary:
            # A path may hold bytes that are no text; in JSON they come out as an escape.
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        return self.path / name

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
        """Write one table of texts atomically, in UTF-8; no cell becomes a formula."""
        with (
            self.writing(name) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(map(for_csv, header))
            writer.writerows(map(for_csv, row) for row in rows)
        return self.path / name

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path that becomes ``name`` when the block ends well."""
        with atomic_path(self.path / name) as temporary:
            yield temporary

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Record versions, machine, ``facts`` and the digest of every file; the run is complete.

        Args:
            facts: What else the manifest holds: seeds, data digest, encoder fingerprint.
        """
        self._remove_leftovers()
        files = sorted(self._own_files())
        digests = {p.relative_to(self.path).as_posix(): _file_digest(p) for p in files}
        manifest = {
            "format_version": FORMAT_VERSION,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **describe_machine(),
            **facts,
            "files": digests,
        }
        self.write_json(_MANIFEST, manifest)


def describe_machine() -> Json:
    """Return ``versions`` of Python and of what computes, and the ``machine``."""
    return {
        "versions": _versions(),
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "cpu_count": os.cpu_count(),
        },
    }


def require_finished(path: Path) -> None:
    """Check that a finished run is at ``path``; what its files hold is not looked at.

    Raises:
        RunError: It is missing or unfinished.
    """
    if not is_folder(path):
        raise RunError(f"there is no run directory {str(path)!r}; give one that a run wrote")
    if not is_file(path / _MANIFEST):
        raise RunError(
            f"{str(path)!r} has no {_MANIFEST}: the run is unfinished or this is no run; "
            "start its command again"
        )


def require_free_place(path: Path) -> frozenset[str]:
    """Check that a run can go to ``path``, without writing anything.

    Returns:
        The names that are there already: none, or those of an unfinished run.

    Raises:
        RunError: There is a finished run, or files of something else.
        UnavailableError: The place cannot be written to.
    """
    try:
        there = frozenset(entry.name for entry in path.iterdir()) - {LOCK, HOLDER}
        entries = frozenset(name for name in there if not name.startswith(TEMPORARY))
    except FileNotFoundError:
        entries = frozenset()
    except (OSError, ValueError) as error:  # ValueError: a name that can be no file's
        raise _unwritable(path, error) from error
    if _MANIFEST in entries:
        raise RunError(f"{str(path)!r} holds a finished run; name another place with --out")
    if entries and "config.json" not in entries:
        raise RunError(f"{str(path)!r} holds other files; name an empty or new place with --out")
    require_writable(path, "--out")
    return entries


def _unwritable(path: Path, error: OSError | ValueError) -> UnavailableError:
    reason = os_reason(error) if isinstance(error, OSError) else str(error)
    return UnavailableError(
        f"cannot write to {str(path)!r} ({reason}); name another place with --out"
    )


def require_same_options(found: Json, wanted: Mapping[str, Any], path: Path) -> None:
    """Make sure that an unfinished run is taken up with the options it began with.

    Args:
        found: The options there, as plain JSON values.
        wanted: The options here.
        path: Of the run, for the message.

    Raises:
        RunError: Some differ; the message says which, and both values.
    """
    there, here = _flatten(found), _flatten(json.loads(json.dumps(wanted)))
    differing = sorted(k for k in there.keys() | here.keys() if there.get(k) != here.get(k))
    if differing:
        shown = ", ".join(f"{k} ({there.get(k)!r} there, {here.get(k)!r} here)" for k in differing)
        raise RunError(
            f"{str(path)!r} holds an unfinished run that was started with other options: {shown}; "
            "repeat its options, or name another place with --out"
        )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Json:
    flat: Json = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _read_digests(manifest: Json, path: Path) -> dict[str, str]:
    digests = manifest.get("files")
    if not isinstance(digests, dict) or not all(isinstance(d, str) for d in digests.values()):
        raise RunError(f"the {_MANIFEST} of {str(path)!r} records no files; run it again")
    if "config.json" not in digests:
        raise RunError(f"the {_MANIFEST} of {str(path)!r} records no config.json; run it again")
    return digests


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0]}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
