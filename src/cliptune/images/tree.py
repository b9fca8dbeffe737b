"""A folder with everything below it, listed once.

It knows names and places of files, never their contents. Own walk, because hidden files,
links and empty folders decide what belongs to the data set.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.tree_cache import KnownFolder, load_known, save_known

__all__ = [
    "IMAGE_SUFFIXES",
    "Folder",
    "Tree",
    "is_image_name",
    "list_tree",
    "report_outside",
    "tree_of_names",
]

_log = logging.getLogger(__name__)

_DECODED = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".avif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx"),
    *(".ico", ".icns", ".tga", ".qoi", ".sgi", ".rgb", ".pcx", ".dds"),
)
# Meant as images, though they cannot be decoded here: passing over them would hide them.
_NOT_DECODED = (".heic", ".heif", ".jxl", ".svg", ".dng", ".cr2", ".nef", ".arw", ".raf", ".orf")

# What systems put beside people's files; a drive's thumbnails are in @eaDir.
_NOT_DATA = frozenset(["__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN"])

IMAGE_SUFFIXES = frozenset(_DECODED + _NOT_DECODED)


def is_image_name(name: str) -> bool:
    """Tell whether a file is meant as an image, by its name alone."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and not name.startswith(".") and dot + suffix.lower() in IMAGE_SUFFIXES


@dataclass(slots=True)
class Folder:
    """One folder of a tree; names are sorted.

    Attributes:
        path: Where it is, relative to the root, which is the empty path.
        images: Names of the images right in it.
        files: Names of its other files.
        folders: The folders right in it.
        n_images: How many images there are in it and below it.
    """

    path: str
    images: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    n_images: int = 0

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def full(self) -> list[Folder]:
        """The folders right in it that have images below them."""
        return [folder for folder in self.folders if folder.n_images]

    def walk(self) -> Iterator[Folder]:
        """Yield it and every folder below it, each before those in it."""
        waiting = [self]  # a list: trees may be deeper than calls may nest
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting.extend(reversed(folder.folders))

    def image_paths(self) -> Iterator[str]:
        """Yield the paths of the images in it and below it, relative to the root."""
        for folder in self.walk():
            prefix = f"{folder.path}/" if folder.path else ""
            for name in folder.images:
                yield prefix + name

    def other_paths(self) -> Iterator[str]:
        """Yield the paths of the other files in it and below it, relative to the root."""
        for folder in self.walk():
            for name in folder.files:
                yield f"{folder.path}/{name}".lstrip("/")


@dataclass(slots=True)
class Tree:
    """What lies below one folder.

    Attributes:
        root: The folder, as it was named.
        top: Its contents.
        outside: Links that lead out of it, which are not followed.
        loops: Links to a folder that they lie in, which are not followed either.
        n_hidden: Files and folders that are hidden.
    """

    root: str
    top: Folder
    outside: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    n_hidden: int = 0


def list_tree(root: Path) -> Tree:
    """List a folder and everything below it, in sorted order.

    Hidden files are passed over; links are followed within the tree and not out of it. Of a large
    tree that was listed before, folders whose time has not changed are not read again.

    Raises:
        OSError: A folder cannot be read.
    """
    tree = Tree(str(root), Folder(""))
    real_root = os.path.realpath(root)
    before = load_known(real_root)
    known: dict[str, KnownFolder] = {}
    order: list[Folder] = []
    waiting: list[tuple[Folder, str, frozenset[str]]] = [(tree.top, real_root, frozenset())]
    while waiting:
        folder, real, above = waiting.pop()
        order.append(folder)
        links = _list_level(tree, real_root, folder, before, known)
        inside = above | {real}
        for child in list(folder.folders):
            # Only a link is asked where it leads: the answer takes as long as the path.
            own = f"{real}/{child.name}"
            if child.name in links:
                own = os.path.realpath(f"{tree.root}/{child.path}")
                if own in inside or own == real_root:
                    folder.folders.remove(child)
                    tree.loops.append(child.path)
                    continue
            waiting.append((child, own, inside))
    if known != before:
        save_known(real_root, known)
    for folder in reversed(order):
        folder.n_images = len(folder.images) + sum(child.n_images for child in folder.folders)
    return tree


def _list_level(
    tree: Tree,
    real_root: str,
    folder: Folder,
    before: Mapping[str, KnownFolder],
    known: dict[str, KnownFolder],
) -> set[str]:
    """List one folder, leaving out what is hidden or leads out of the tree; return the links."""
    prefix = f"{folder.path}/" if folder.path else ""
    place = f"{tree.root}/{folder.path}"
    kept = before.get(folder.path)
    if kept is not None and kept.is_current(place):
        folder.images, folder.files = kept.images, kept.files
        folder.folders = [Folder(prefix + name) for name in kept.folders]
        tree.n_hidden += kept.n_hidden
        known[folder.path] = kept
        return set()
    mtime_ns, n_hidden, n_outside = Path(place).stat().st_mtime_ns, tree.n_hidden, len(tree.outside)
    links = _scan_level(tree, real_root, folder)
    if not links and len(tree.outside) == n_outside:
        names = [child.name for child in folder.folders]
        hidden = tree.n_hidden - n_hidden
        known[folder.path] = KnownFolder(mtime_ns, hidden, folder.images, folder.files, names)
    return links


def _scan_level(tree: Tree, real_root: str, folder: Folder) -> set[str]:
    """Read one folder from the disk; return the names of links to folders, or to files, in it."""
    links: set[str] = set()
    prefix = f"{folder.path}/" if folder.path else ""
    with os.scandir(f"{tree.root}/{folder.path}") as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in _NOT_DATA:
                tree.n_hidden += 1
                continue
            is_link = entry.is_symlink()
            if is_link:
                links.add(name)
            if is_link and not _stays_inside(real_root, entry.path):
                tree.outside.append(entry.path)
            elif entry.is_dir():
                folder.folders.append(Folder(prefix + name))
            elif is_image_name(name):
                if _is_file_or_gone(entry):
                    folder.images.append(name)
            elif entry.is_file():
                folder.files.append(name)
    folder.images.sort()
    folder.files.sort()
    folder.folders.sort(key=lambda child: child.path)
    return links


def _is_file_or_gone(entry: os.DirEntry[str]) -> bool:
    """Tell files, and links to files that are gone, from pipes and devices: reading may hang."""
    return entry.is_file() or not Path(entry.path).exists()


def _stays_inside(real_root: str, path: str) -> bool:
    real = os.path.realpath(path)
    return real == real_root or real.startswith(real_root.rstrip(os.sep) + os.sep)


def report_outside(tree: Tree, found: bool) -> None:
    """Say that links lead out of a tree; where nothing else was found that is an error.

    Raises:
        DataError: There are such links, and no images.
    """
    outside = sorted(set(tree.outside))
    if not outside:
        return
    if not found:
        raise DataError(
            f"{tree.root!r} holds only links that lead out of it, such as {outside[0]!r}; name "
            "the folder that they point to, or copy the images"
        )
    _log.warning(
        "%d links in %r lead out of it and were not followed, such as %r",
        len(outside),
        tree.root,
        outside[0],
    )


def tree_of_names(root: str, names: Iterable[str]) -> Tree:
    """Build the folders that the names of an archive's members, or of a store's objects, stand for.

    Raises:
        DataError: A name leads out of it.
    """
    tree = Tree(root, Folder(""))
    folders = {"": tree.top}
    for name in sorted(names):
        above, _, base = name.rpartition("/")
        parts = above.split("/") if above else []
        if name.startswith("/") or ".." in parts or ":" in name.partition("/")[0]:
            raise DataError(f"{root!r} has the member {name!r}, which leads out of it; refused")
        if base.startswith(".") or any(p.startswith(".") or p == "__MACOSX" for p in parts):
            tree.n_hidden += 1
            continue
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            if place not in folders:
                folders[place] = Folder(place)
                folders["/".join(parts[: depth - 1])].folders.append(folders[place])
        (folders[above].images if is_image_name(base) else folders[above].files).append(base)
    for place in sorted(folders, key=lambda p: -p.count("/") - bool(p)):
        folder = folders[place]
        folder.n_images = len(folder.images) + sum(child.n_images for child in folder.folders)
    return tree
