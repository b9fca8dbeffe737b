"""TFRecord files as TensorFlow Datasets and Vertex AI write them.

It knows their names of features and the files that TensorFlow Datasets keeps beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cliptune.errors import DataError
from cliptune.images.asked import Asked, refuse_folder_options
from cliptune.images.exports.annotated import TreeReader
from cliptune.images.labelling import label_all
from cliptune.images.records import LabelledImages, Records, Values
from cliptune.images.sources import Source, readable
from cliptune.images.split_words import split_of
from cliptune.images.text_tables import read_lines
from cliptune.images.tfrecords import Example, Place, TfRecordSource, is_tfrecord, list_examples
from cliptune.images.tree import Tree

__all__ = ["READER", "read_files"]

_IMAGES = ("image", "image/encoded", "image_bytes", "img", "image_raw", "encoded", "jpg", "png")
_LABELS = ("label", "image/class/label", "class", "image/class/text", "labels")
_TEXT = "image/class/text"


def read_tree(tree: Tree, asked: Asked) -> LabelledImages | None:
    """Read all TFRecord files of a folder as one data set."""
    files = [
        Path(tree.root) / f.path / name
        for f in tree.top.walk()
        for name in f.files
        if is_tfrecord(name)
    ]
    return read_files(files, Path(tree.root), asked) if files else None


READER = TreeReader("TFRecord", read_tree)


def read_files(files: Sequence[Path], root: Path, asked: Asked) -> LabelledImages:
    """Read TFRecord files.

    Args:
        files: The files.
        root: The folder that ids are relative to.
        asked: How the user wants them read.
    """
    refuse_folder_options(str(root), asked)
    parts = [(_records(file, root), _split_of(file)) for file in files]
    name = str(files[0] if len(files) == 1 else root)
    return label_all(parts, asked.columns, asked.where, name)


def _split_of(file: Path) -> str:
    """Read the split off ``mnist-train.tfrecord-00000-of-00001``."""
    words = file.name.lower().partition(".tfrecord")[0].replace("_", "-").split("-")
    return next((split for split in map(split_of, reversed(words)) if split), "")


def _records(file: Path, root: Path) -> Records:
    examples = list_examples(file)
    if not examples:
        raise DataError(f"{str(file)!r} has no records; expected one for each image")
    names = list(dict.fromkeys(name for example in examples for name in example.values))
    image = next((n for n in (*_IMAGES, *names) if _holds_images(examples[0], n)), None)
    if image is None:
        raise DataError(
            f"{str(file)!r} has no feature with pictures; its features are: {', '.join(names[:8])}"
        )
    label = next((name for name in _LABELS if name in names), None)
    others = [name for name in names if name not in (image, label, _TEXT)]
    columns = ["image", *(["label"] if label else []), *others]
    if _TEXT in names and label != _TEXT:
        columns.append("class_name")
    of = {"image": image, "label": label or "", "class_name": _TEXT}
    stem = file.relative_to(root).as_posix()

    def read_column(name: str) -> Values:
        cells = [example.values.get(of.get(name, name), []) for example in examples]
        return [None if not cell else cell[0] if len(cell) == 1 else list(cell) for cell in cells]

    def read_sources(name: str) -> list[Source]:
        return [
            _source(example, of.get(name, name), file, stem, row)
            for row, example in enumerate(examples)
        ]

    known = _label_names(file.parent)
    names_of = {"label": known} if known and label and label != _TEXT else {}
    return Records(
        str(file),
        tuple(columns),
        len(examples),
        read_column,
        read_sources,
        names_of,
        "TFRecord file",
    )


def _holds_images(example: Example, name: str) -> bool:
    return any(isinstance(value, Place) for value in example.values.get(name, ()))


def _source(example: Example, name: str, file: Path, stem: str, row: int) -> Source:
    values = example.values.get(name, ())
    place = values[0] if values else None
    if not isinstance(place, Place):
        place = Place(0, 0)
    return TfRecordSource(readable(f"{stem}#{row}"), str(file), place.offset, place.size)


def _label_names(folder: Path) -> tuple[str, ...]:
    """Read the names that TensorFlow Datasets keeps in ``label.labels.txt``."""
    path = folder / "label.labels.txt"
    if not path.is_file():
        return ()
    return tuple(line.strip() for line in read_lines(path) if line)
