"""From the cells of a table to images that lie somewhere below a folder.

It knows names and places, and nothing about labels. People move images and keep the table, so
a cell may be a path from the table, from the folder, from a machine of long ago, a file's name,
or a name without its suffix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cliptune.images.split_words import split_in

__all__ = ["ImageIndex", "Matches", "match_cells"]


class ImageIndex:
    """The images below a folder by path, by name, and by name without a suffix.

    Args:
        paths: Their paths, relative to the folder.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = frozenset(paths)
        self._by_name: dict[str, list[str]] | None = None
        self._by_stem: dict[str, list[str]] = {}
        self._by_folded: dict[str, list[str]] | None = None

    def by_name(self, name: str) -> list[str]:
        """Return the images of a file name, or of a name that lacks only its suffix.

        Else the one image whose name differs in capitals alone, if there is one.
        """
        if self._by_name is None:
            names, stems = defaultdict(list), defaultdict(list)
            for path in sorted(self.paths):
                base = path.rpartition("/")[2]
                names[base].append(path)
                stems[base.rpartition(".")[0]].append(path)
            self._by_name, self._by_stem = dict(names), dict(stems)
        found = self._by_name.get(name) or self._by_stem.get(name)
        if found:
            return found
        if self._by_folded is None:
            folded = defaultdict[str, list[str]](list)
            for base, paths in self._by_name.items():
                folded[base.casefold()] += paths
            self._by_folded = dict(folded)
        alike = self._by_folded.get(name.casefold(), [])
        return alike if len(alike) == 1 else []


@dataclass(frozen=True)
class Matches:
    """The images that a column names.

    Attributes:
        rows: Numbers of the rows whose image is there.
        paths: These images, one for each of the rows.
        absent: The cells that name nothing.
        twins: A cell that names two images, and both; nothing where each names one.
    """

    rows: tuple[int, ...]
    paths: tuple[str, ...]
    absent: tuple[str, ...]
    twins: tuple[str, str, str] | None


def match_cells(cells: Sequence[Any], index: ImageIndex, folder: str, split: str) -> Matches:
    """Find the images that cells name.

    Args:
        cells: One a row, as the file has them.
        index: The images.
        folder: Where the table lies, relative to the same folder as the images.
        split: The split of the table, which tells images of one name apart.
    """
    rows, paths, absent = list[int](), list[str](), list[str]()
    twins: tuple[str, str, str] | None = None
    for row, cell in enumerate(cells):
        found = _find(cell, index, folder)
        if len(found) > 1:
            found = [p for p in found if split and split_in_path(p) == split] or found
        if len(found) > 1:
            twins = twins or (str(cell), found[0], found[1])
        elif found:
            rows.append(row)
            paths.append(found[0])
        else:
            absent.append(str(cell))
    return Matches(tuple(rows), tuple(paths), tuple(absent), twins)


def split_in_path(path: str) -> str:
    """Return the split that the first folder of a path with a word of one means."""
    parts = path.split("/")[:-1]
    return next((split for split in map(split_in, parts) if split), "")


def _find(cell: Any, index: ImageIndex, folder: str) -> list[str]:
    if isinstance(cell, dict):
        cell = cell.get("path")
    if cell is None or isinstance(cell, (bytes, float, list)):
        return []
    text = str(cell).strip().replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts:
        return []
    here = folder.split("/") if folder else []
    if ".." in parts:
        climbed = _without_climbing(here, parts)
        if climbed is None:
            return []
        here, parts = [], climbed
    for start in range(len(parts)):
        tail = parts[start:]
        for path in ("/".join([*here, *tail]), "/".join(tail)):
            if path in index.paths:
                return [path]
        if len(tail) == 1:
            break
    return index.by_name(parts[-1])


def _without_climbing(place: list[str], parts: Sequence[str]) -> list[str] | None:
    """Resolve ``..``; nothing where it leads out of the folder."""
    place = list(place)
    for part in parts:
        if part != "..":
            place.append(part)
        elif place:
            place.pop()
        else:
            return None
    return place
