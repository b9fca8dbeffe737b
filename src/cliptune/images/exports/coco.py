"""COCO: a JSON file of images, categories and annotations.

It knows the format of the COCO data set (Lin et al., arXiv:1405.0312). Boxes and outlines become
the set of classes that an image shows.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from cliptune.errors import DataError
from cliptune.images.exports.annotated import Annotated, AnnotationReader
from cliptune.images.reading import Ignored
from cliptune.images.records import LabelSet

__all__ = ["READER"]

Json = Any  # Any: a JSON value of a stranger


def read_json(path: Path, value: Json) -> Annotated | None:
    """Read instances, or labels of whole images in the same form."""
    keys = ("images", "annotations", "categories")
    if not isinstance(value, dict) or not all(isinstance(value.get(k), list) for k in keys):
        return None
    try:
        names = {c["id"]: str(c["name"]) for c in value["categories"]}
        labels: dict[Json, list[str]] = defaultdict(list)
        for annotation in value["annotations"]:
            labels[annotation["image_id"]].append(names[annotation["category_id"]])
        images = {image["id"]: str(image["file_name"]) for image in value["images"]}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{str(path)!r} looks like COCO, but {error} is missing in it or of another form"
        ) from error
    boxes = any(annotation.get("bbox") for annotation in value["annotations"])
    sets: list[LabelSet] = []
    for number in images:
        found = tuple(dict.fromkeys(labels.get(number, ())))
        sets.append(found if found or boxes else None)
    lost = [number for number in labels if number not in images]
    ignored = [Ignored(len(lost), "annotations of images that are not listed", str(lost[:1]))]
    return Annotated(
        layout="COCO",
        images=list(images.values()),
        label_sets=sets,
        classes=tuple(dict.fromkeys(names[number] for number in sorted(names, key=_as_key))),
        several=boxes,
        ignored=tuple(one for one in ignored if one.n),
    )


READER = AnnotationReader("COCO", ".json", read_json)


def _as_key(number: Json) -> tuple[int, str]:
    return (number, "") if isinstance(number, int) else (0, str(number))
