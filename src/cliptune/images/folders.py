"""Images in class folders, with or without folders for splits above them.

It knows names and places of files, never their contents. Own walk, because hidden files,
links and empty folders decide what belongs to the data set.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.records import LabelledImages, split_of
from cliptune.images.sources import FileSource, Source, readable

__all__ = ["IMAGE_SUFFIXES", "is_image_name", "list_images", "read_image_folder"]

_log = logging.getLogger(__name__)

_DECODED = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".avif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx"),
    *(".ico", ".icns", ".tga", ".qoi", ".sgi", ".rgb", ".pcx", ".dds"),
)
# Meant as images, though they cannot be decoded here: passing over them would hide them.
_NOT_DECODED = (".heic", ".heif", ".jxl", ".svg", ".dng", ".cr2", ".nef", ".arw", ".raf", ".orf")

IMAGE_SUFFIXES = frozenset(_DECODED + _NOT_DECODED)


def is_image_name(name: str) -> bool:
    """Tell whether a file is meant as an image, by its name alone."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and not name.startswith(".") and dot + suffix.lower() in IMAGE_SUFFIXES


@dataclass
class _Walk:
    """What a walk through one tree has met so far."""

    root: str
    real_root: str
    outside: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Level:
    """One folder: the images right in it, the folders in it, and which of these are links."""

    images: list[str]
    folders: list[str]
    links: frozenset[str]


def read_image_folder(root: Path) -> LabelledImages | None:
    """Find the images below a folder and label them by the folders they are in.

    Hidden files and files that are no images are passed over; links are followed within the
    tree and not out of it. A folder without class folders gives unlabelled images.

    Args:
        root: Either class folders, or ``train``, ``val``, ``test`` (also ``training``,
            ``valid``, ``validation``, ``dev``, ``testing``) with class folders in them.

    Returns:
        The images, sorted by path; nothing when there is none.

    Raises:
        DataError: A class folder holds no image, images lie beside class folders, or folders
            lie beside the splits.
    """
    walk = _Walk(str(root), os.path.realpath(root))
    top = _list_level(walk, "")
    splits = _split_folders(walk, top)
    parts = splits.items() if splits else [("", "")]
    found = [(split, *_read_classes(walk, folder)) for split, folder in parts]
    _report_outside(walk, any(ids for _, ids, _ in found))
    if not any(ids for _, ids, _ in found):
        return None
    labels = [label for _, _, part in found for label in part]
    sources: list[Source] = [
        FileSource(readable(i), _join(walk.root, i)) for _, ids, _ in found for i in ids
    ]
    return LabelledImages(
        sources=sources,
        labels=labels,
        splits=[split for split, ids, _ in found for _ in ids],
        classes=tuple(sorted({label for label in labels if label is not None})),
    )


def list_images(root: Path) -> list[str]:
    """Return the paths of all images below a folder, sorted and relative to it.

    Hidden files and links out of the tree are passed over, as in ``read_image_folder``.
    """
    walk = _Walk(str(root), os.path.realpath(root))
    images = list(_images_below(walk, ""))
    _report_outside(walk, bool(images))
    return images


def _split_folders(walk: _Walk, top: _Level) -> dict[str, str]:
    """Return split -> folder when the tree is laid out by splits.

    One folder named like a split among others is a class (a ``train`` beside ``bus``); two
    such folders, or one alone that holds class folders, are splits.
    """
    named = [name for name in top.folders if split_of(name)]
    if not named:
        return {}
    others = [name for name in top.folders if not split_of(name) and _has_image(walk, name)]
    alone = len(named) == 1 and not others and bool(_list_level(walk, named[0]).folders)
    if not alone and len(named) < 2:
        return {}
    if others or top.images:
        stray = (others or top.images)[0]
        raise DataError(
            f"{walk.root!r} holds {stray!r} beside its splits {', '.join(named)}; move it into a "
            "split or elsewhere"
        )
    splits: dict[str, str] = {}
    for name in named:
        split = split_of(name)
        assert split is not None, "named holds nothing else"
        twin = splits.setdefault(split, name)
        if twin != name:
            raise DataError(
                f"{walk.root!r} holds both {twin!r} and {name!r}, which mean the split {split}; "
                "keep one"
            )
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _read_classes(walk: _Walk, folder: str) -> tuple[list[str], list[str | None]]:
    """Return the images' paths below ``folder`` and their labels."""
    level = _list_level(walk, folder)
    by_class = {name: list(_images_below(walk, _join(folder, name))) for name in level.folders}
    if not any(by_class.values()):
        return level.images, [None] * len(level.images)
    empty = [_join(folder, name) for name, images in by_class.items() if not images]
    if empty:
        raise DataError(
            f"{walk.root!r} has class folders without any image: {', '.join(empty[:8])}"
            f"{', ...' if len(empty) > 8 else ''}; fill or remove them"
        )
    if level.images:
        raise DataError(
            f"{len(level.images)} images such as {level.images[0]!r} lie beside the class folders "
            f"of {walk.root!r}; move each into the folder of its class"
        )
    pairs = [(image, name) for name, images in by_class.items() for image in images]
    return [image for image, _ in pairs], [name for _, name in pairs]


def _images_below(walk: _Walk, folder: str) -> Iterator[str]:
    """Walk down a tree: a list of what waits, because trees may be deeper than calls may nest."""
    start = os.path.realpath(_join(walk.root, folder))
    waiting: list[tuple[str, str, frozenset[str]]] = [(folder, start, frozenset())]
    while waiting:
        place, real, above = waiting.pop()
        if real in above or (place and real == walk.real_root):
            continue  # a link to a folder that it lies in
        level = _list_level(walk, place)
        yield from level.images
        for name in reversed(level.folders):
            inside = _join(place, name)
            # Only a link is asked where it leads: the answer takes as long as the path.
            target = _join(walk.root, inside)
            own = os.path.realpath(target) if name in level.links else f"{real}/{name}"
            waiting.append((inside, own, above | {real}))


def _has_image(walk: _Walk, folder: str) -> bool:
    return next(_images_below(walk, folder), None) is not None


def _list_level(walk: _Walk, folder: str) -> _Level:
    """List one folder in sorted order, leaving out what is hidden or leads out of the tree."""
    images, folders, links = [], [], set()
    with os.scandir(_join(walk.root, folder)) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_symlink() and not _stays_inside(walk, entry.path):
                walk.outside.append(entry.path)
            elif entry.is_dir():
                folders.append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
            elif is_image_name(entry.name) and _is_file_or_gone(entry):
                images.append(_join(folder, entry.name))
    return _Level(images, folders, frozenset(links))


def _is_file_or_gone(entry: os.DirEntry[str]) -> bool:
    """Tell files, and links to files that are gone, from pipes and devices: reading may hang."""
    return entry.is_file() or not Path(entry.path).exists()


def _stays_inside(walk: _Walk, path: str) -> bool:
    real = os.path.realpath(path)
    return real == walk.real_root or real.startswith(walk.real_root.rstrip(os.sep) + os.sep)


def _join(folder: str, name: str) -> str:
    # Strings instead of pathlib: a tree may hold half a million files.
    return f"{folder}/{name}" if folder and name else folder or name


def _report_outside(walk: _Walk, found: bool) -> None:
    outside = sorted(set(walk.outside))
    if not outside:
        return
    if not found:
        raise DataError(
            f"{walk.root!r} holds only links that lead out of it, such as {outside[0]!r}; name "
            "the folder that they point to, or copy the images"
        )
    _log.warning(
        "%d links in %r lead out of it and were not followed, such as %r",
        len(outside),
        walk.root,
        outside[0],
    )
