"""YOLO: a text file of boxes or outlines for each image, and a YAML file of class names.

It knows the layouts of Darknet and Ultralytics: ``images/train/a.jpg`` with
``labels/train/a.txt``, ``train/images`` with ``train/labels``, or both side by side. What an image
shows becomes a set of classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cliptune.errors import DataError
from cliptune.images.asked import Asked, refuse_columns
from cliptune.images.exports.annotated import TreeReader, ordered
from cliptune.images.reading import Ignored, Reading
from cliptune.images.records import LabelledImages, LabelSet
from cliptune.images.sources import FileSource, readable
from cliptune.images.table_paths import split_in_path
from cliptune.images.text_tables import read_lines
from cliptune.images.tree import Tree

__all__ = ["READER"]

_ROW = re.compile(r"\s*(\d{1,6})((?:\s+[-+.\deE]+){4,})\s*", re.ASCII)
_LOOKED_AT = 20


def read_tree(tree: Tree, asked: Asked) -> LabelledImages | None:
    """Read a folder of images with a text file of boxes each."""
    texts = {
        f"{f.path}/{n}".lstrip("/") for f in tree.top.walk() for n in f.files if n[-4:] == ".txt"
    }
    if not texts or asked.folders.class_level is not None or asked.labels_from is not None:
        return None
    paths = list(tree.top.image_paths())
    text_of = {path: text for path in paths if (text := _text_of(path, texts))}
    some = list(text_of.values())[:_LOOKED_AT]
    if not some or not all(_is_boxes(Path(tree.root) / text) for text in some):
        return None
    if not any(_read_numbers(Path(tree.root) / text) for text in some):
        return None
    refuse_columns(tree.root, asked)
    numbers = {path: _read_numbers(Path(tree.root) / text) for path, text in text_of.items()}
    names = _class_names(tree)
    seen = {number for found in numbers.values() for number in found}
    numbered = names is None
    names = names or {number: str(number) for number in seen}
    if beyond := sorted(seen - set(names)):
        raise DataError(
            f"{tree.root!r} has boxes of class {beyond[0]}, but its YAML file names only "
            f"{', '.join(map(str, sorted(names)[:8]))}; complete the names"
        )
    sets: list[LabelSet] = [
        tuple(names[number] for number in sorted(numbers.get(path, ()))) for path in paths
    ]
    return LabelledImages(
        sources=[FileSource(readable(path), f"{tree.root}/{path}") for path in paths],
        labels=[None] * len(paths),
        splits=[split_in_path(path) for path in paths],
        classes=ordered(names),
        numbered=numbered,
        label_sets=sets,
        reading=_describe(tree, paths, text_of, texts),
    )


READER = TreeReader("YOLO", read_tree)


def _describe(tree: Tree, paths: list[str], text_of: Mapping[str, str], texts: set[str]) -> Reading:
    bare = [path for path in paths if path not in text_of]
    left = sorted(texts - set(text_of.values()) - {t for t in texts if "/" not in t})
    reading = Reading("YOLO detection", "text files of boxes: the set of classes in an image")
    if bare:
        note = f"{len(bare)} images have no text file, such as {bare[0]!r}: nothing is in them"
        reading = replace(reading, notes=(note,))
    ignored = [Ignored(len(left), "text files without an image", left[0])] if left else []
    return reading.add(ignored=ignored)


def _text_of(path: str, texts: set[str]) -> str | None:
    """Return the text file of an image: in a folder ``labels``, or beside it."""
    stem = path.rpartition(".")[0]
    parts = stem.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            text = "/".join([*parts[:place], "labels", *parts[place + 1 :]]) + ".txt"
            return text if text in texts else None
    return f"{stem}.txt" if f"{stem}.txt" in texts else None


def _rows(path: Path) -> Iterator[re.Match[str] | None]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        yield None
        return
    for line in lines:
        if line.strip():
            yield _ROW.fullmatch(line)


def _is_boxes(path: Path) -> bool:
    return all(row is not None for row in _rows(path))


def _read_numbers(path: Path) -> frozenset[int]:
    numbers = []
    for row in _rows(path):
        if row is None:
            raise DataError(f"{str(path)!r} has a line that is no box; expected: class x y w h")
        numbers.append(int(row[1]))
    return frozenset(numbers)


def _class_names(tree: Tree) -> dict[int, str] | None:
    """Read the names that the first YAML file with names gives, or ``classes.txt``."""
    import yaml

    for name in tree.top.files:
        path = Path(tree.root) / name
        if path.suffix.lower() in (".yaml", ".yml"):
            try:
                value: Any = yaml.safe_load(path.read_text(encoding="utf-8"))  # Any: a stranger's
            except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(f"{str(path)!r} is no readable YAML ({error})") from error
            names = value.get("names") if isinstance(value, dict) else None
            if isinstance(names, list):
                names = dict(enumerate(names))
            if isinstance(names, dict) and all(isinstance(number, int) for number in names):
                return {number: _name(label, path) for number, label in names.items()}
    for name in ("classes.txt", "obj.names"):
        path = Path(tree.root) / name
        if path.is_file():
            return dict(enumerate(read_lines(path)))
    return None


def _name(label: object, path: Path) -> str:
    if not isinstance(label, str | int | float):
        raise DataError(f"{str(path)!r} has a name that is no text ({type(label).__name__})")
    return str(label)
