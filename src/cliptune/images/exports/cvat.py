"""CVAT for images: XML with tags of whole images, or with boxes and outlines.

It knows the format ``CVAT for images 1.1``, which datumaro and FiftyOne write too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cliptune.errors import DataError
from cliptune.images.exports.annotated import Annotated, AnnotationReader
from cliptune.images.records import LabelSet

__all__ = ["READER"]

_SHAPES = ("box", "polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")


def read_xml(path: Path, value: Any) -> Annotated | None:
    """Read an XML file of annotated images."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{str(path)!r} is no readable XML ({error})") from error
    found = root.findall("image") if root.tag == "annotations" else []
    if not found or not all(image.get("name") for image in found):
        return None
    classes = [text.strip() for text in _label_names(root)]
    shapes = any(image.find(shape) is not None for image in found for shape in _SHAPES)
    sets: list[LabelSet] = []
    for image in found:
        kinds = ("tag",) if not shapes else ("tag", *_SHAPES)
        labels = [child.get("label", "") for kind in kinds for child in image.findall(kind)]
        named = tuple(dict.fromkeys(label for label in labels if label))
        sets.append(named if named or shapes else None)
    return Annotated(
        layout="CVAT for images",
        images=[image.get("name", "") for image in found],
        label_sets=sets,
        classes=tuple(dict.fromkeys(classes)) or None,
        several=shapes,
        splits=[image.get("subset") or "" for image in found],
    )


READER = AnnotationReader("CVAT", ".xml", read_xml)


def _label_names(root: ElementTree.Element) -> list[str]:
    found = (label.find("name") for labels in root.iter("labels") for label in labels)
    return [name.text for name in found if name is not None and name.text]
