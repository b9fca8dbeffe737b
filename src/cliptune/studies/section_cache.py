"""Finished sections on disk: in the study's folder, and in the cache for the next study.

A section is known by its key, a digest of everything that shaped it. Its file is written after
all that belongs to it, so that a section whose file is there is complete. It knows nothing about
what sections mean.

::

    STUDY/
      sections/
        NAME.json      question, conclusion, numbers, tables, figures, key; written last
        NAME/          figures as SVG, tables as CSV, classifiers as runs
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.report import Section
from cliptune.report.cells import write_csv
from cliptune.system.atomic import atomic_path
from cliptune.system.json_files import read_object
from cliptune.system.typed import require_types

__all__ = ["SectionCache", "digest_of"]

Json = dict[str, Any]  # Any: plain JSON values


def digest_of(values: Mapping[str, Any]) -> str:  # Any: plain JSON values
    """Return a hex digest of plain JSON values, whatever their order."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class SectionCache:
    """Where sections lie.

    Attributes:
        folder: The study's.
        cache: Where studies keep sections for each other.
    """

    folder: Path
    cache: Path

    def place(self, name: str) -> Path:
        """Return an empty folder for what a section writes."""
        place = self.folder / "sections" / name
        (self.folder / "sections" / f"{name}.json").unlink(missing_ok=True)
        if place.exists():
            shutil.rmtree(place)
        place.mkdir(parents=True)
        return place

    def keep(self, section: Section, key: str) -> None:
        """Write a section's tables and file, and put it into the cache."""
        sections = self.folder / "sections"
        for table in section.tables:
            write_csv(table, sections / section.name / f"{table.name}.csv")
        _write(sections / f"{section.name}.json", {**section.to_dict(), "key": key})
        entry = self.cache / key
        if not entry.exists():
            self._copy_whole(sections, section.name, entry)

    def find(self, name: str, key: str) -> Section | None:
        """Return a section of this key, from the study's folder or from the cache."""
        sections = self.folder / "sections"
        found = _read(sections / f"{name}.json", key)
        if found is None and (cached := _read(self.cache / key / f"{name}.json", key)):
            self.place(name)
            _copy_tree(self.cache / key / name, sections / name)
            _write(sections / f"{name}.json", {**cached.to_dict(), "key": key})
            found = cached
        return found

    def _copy_whole(self, sections: Path, name: str, entry: Path) -> None:
        """Copy a section under a temporary name first: an entry that is there is complete."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".tmp-") as temporary:
            new = Path(temporary) / "entry"
            _copy_tree(sections / name, new / name)
            _copy_file(sections / f"{name}.json", new / f"{name}.json")
            try:
                new.rename(entry)
            except OSError:  # another study has put the same section there meanwhile
                if not entry.exists():
                    raise


def _copy_tree(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            _copy_file(path, place)


def _copy_file(source: Path, target: Path) -> None:
    """Link where the file system can: files are replaced as a whole, never written into."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write(path: Path, values: Json) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _read(path: Path, key: str) -> Section | None:
    try:
        values = read_object(path)
        if values.get("key") != key:
            return None
        section = Section.from_dict(values)
        require_types(section, Section, path.name)
        return section
    except (ValueError, KeyError, TypeError, AttributeError):  # a RunError is a ValueError
        return None  # not there, or of an older form: it is made again
