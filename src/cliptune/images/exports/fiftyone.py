"""FiftyOne: ``labels.json`` beside a folder ``data``.

It knows the format ``FiftyOneImageClassificationDataset``: a label by name or by number, several
of them, with or without a confidence. FiftyOne's class folders are read like any others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cliptune.errors import DataError
from cliptune.images.exports.annotated import Annotated, AnnotationReader
from cliptune.images.records import LabelSet

__all__ = ["READER"]

Json = Any  # Any: a JSON value of a stranger


def read_json(path: Path, value: Json) -> Annotated | None:
    """Read the labels of images."""
    if not isinstance(value, dict) or set(value) != {"classes", "labels"}:
        return None
    names, labels = value["classes"], value["labels"]
    if not isinstance(labels, dict) or not (names is None or isinstance(names, list)):
        return None
    sets: list[LabelSet] = [_read(label, names, image, path) for image, label in labels.items()]
    several = any(isinstance(label, list) for label in labels.values()) or any(
        isinstance(label, dict) and isinstance(label.get("labels"), list)
        for label in labels.values()
    )
    return Annotated(
        layout="FiftyOne image classification",
        images=list(labels),
        label_sets=sets,
        classes=tuple(str(name) for name in names) if names else None,
        several=several,
    )


READER = AnnotationReader("FiftyOne", ".json", read_json)


def _read(label: Json, names: list[Json] | None, image: str, path: Path) -> LabelSet:
    if isinstance(label, dict):
        label = label.get("label", label.get("labels"))
    if label is None:
        return None
    found = label if isinstance(label, list) else [label]
    try:
        return tuple(
            dict.fromkeys(
                str(names[one]) if names is not None and isinstance(one, int) else str(one)
                for one in found
            )
        )
    except IndexError as error:
        raise DataError(
            f"{str(path)!r} gives {image!r} the label {label}, but lists {len(names or ())} classes"
        ) from error
