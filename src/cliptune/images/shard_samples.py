"""Which members of a shard belong together: images, and the labels and texts of them.

It knows names of members, and neither archives nor what labels mean. WebDataset cuts a name at
its first dot; people write names with dots in them. Here an image takes the labels of the longest
name that its own begins with, cut at a dot, and labels with more to their name than any image
go to the images that begin alike.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cliptune.errors import DataError
from cliptune.images.reading import Ignored
from cliptune.images.sources import TarSource

__all__ = ["Cells", "Member", "Sample", "Samples", "join_samples"]

Cells = dict[str, Any]  # Any: a cell as the archive has it


@dataclass(frozen=True)
class Member:
    """An image of a shard.

    Attributes:
        stem: Its name with its folder, without the last suffix.
        suffix: That suffix, without a dot.
        source: Where its bytes are.
    """

    stem: str
    suffix: str
    source: TarSource


@dataclass(frozen=True)
class Sample:
    """One image with its cells.

    Attributes:
        source: The image.
        cells: Labels and texts.
        key: What other views of the same thing share with it; empty where there is one view.
    """

    source: TarSource
    cells: Cells
    key: str = ""


@dataclass
class Samples:
    """All images of a shard.

    Attributes:
        rows: The images, in the order of the archive.
        notes: What was decided, one sentence each.
        ignored: What belongs to no image.
    """

    rows: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)


def join_samples(
    images: Sequence[Member], cells: Mapping[str, Cells], wanted: str | None, origin: str
) -> Samples:
    """Give every image its cells.

    Args:
        images: The images of a shard.
        cells: From a name without its suffix to what is said under it.
        wanted: The part of the names that makes an image one, e.g. ``input.jpg`` or ``png``;
            all images where it is nothing.
        origin: The shard, for messages.

    Raises:
        DataError: Two images have one name, or are different parts of one sample.
    """
    result = Samples()
    if wanted is not None:
        images = _only(images, wanted, origin, result)
    _require_one_image(images, origin)
    given: dict[str, str] = {}
    for image in images:
        found = next((stem for stem in _prefixes(image.stem) if stem in cells), None)
        if found is not None:
            given[image.stem] = found
    _give_the_rest(images, cells, given, result)
    by_cells = defaultdict(list)
    for image in images:
        by_cells[given.get(image.stem, image.stem)].append(image)
    views = {key: members for key, members in by_cells.items() if len(members) > 1}
    _require_views(views, origin)
    for image in images:
        key = given.get(image.stem, "")
        result.rows.append(
            Sample(image.source, cells.get(key, {}), key.lstrip("/") if key in views else "")
        )
    if views:
        n = sum(map(len, views.values()))
        result.notes.append(
            f"{n} images are views of {len(views)} samples: each has its label, and those of one "
            "sample are one group"
        )
    return result


def _only(images: Sequence[Member], wanted: str, origin: str, result: Samples) -> list[Member]:
    ending = f".{wanted.lower()}"
    kept = [m for m in images if f"{m.stem}.{m.suffix}".lower().endswith(ending)]
    if not kept:
        raise DataError(
            f"no image of {origin!r} is named ...{ending}; there is for example "
            f"{images[0].source.member!r}"
        )
    if others := [m for m in images if m not in kept]:
        result.ignored.append(
            Ignored(len(others), "images", others[0].source.member, f"not named ...{ending}")
        )
    return kept


def _require_one_image(images: Sequence[Member], origin: str) -> None:
    seen: dict[str, Member] = {}
    for image in images:
        twin = seen.setdefault(image.stem, image)
        if twin is not image:
            raise DataError(
                f"{origin!r} has two images of the name {image.stem.lstrip('/')!r} "
                f"({twin.suffix}, {image.suffix}); keep one, or name one with --image-column "
                f"{twin.suffix}"
            )


def _prefixes(stem: str) -> list[str]:
    """Return a name, and what it begins with, cut at its dots from the last to the first."""
    folder, slash, name = stem.rpartition("/")
    parts = name.split(".")
    return [f"{folder}{slash}{'.'.join(parts[:n])}" for n in range(len(parts), 0, -1)]


def _give_the_rest(
    images: Sequence[Member], cells: Mapping[str, Cells], given: dict[str, str], result: Samples
) -> None:
    """Give cells that no image asked for to images that begin alike: ``a.x.jpg``, ``a.y.cls``."""
    used = set(given.values())
    open_images = defaultdict(list)
    for image in images:
        if image.stem not in given:
            for prefix in _prefixes(image.stem):
                open_images[prefix].append(image.stem)
    left = []
    for stem in (stem for stem in cells if stem not in used):
        found = next((open_images[p] for p in _prefixes(stem) if open_images.get(p)), None)
        if found is None or any(image in given for image in found):
            left.append(stem)
            continue
        given.update(dict.fromkeys(found, stem))
    if left:
        result.ignored.append(
            Ignored(len(left), "labels or texts of a shard", left[0].lstrip("/"), "no such image")
        )


def _require_views(views: Mapping[str, Sequence[Member]], origin: str) -> None:
    """Tell numbered views of a thing, ``a.1.jpg`` and ``a.2.jpg``, from parts: ``a.mask.png``."""
    for key, members in views.items():
        parts = [f"{m.stem}.{m.suffix}".removeprefix(f"{key}.").lower() for m in members]
        kinds = {re.sub(r"\d+", "#", part) for part in parts}
        if len(kinds) > 1:
            raise DataError(
                f"{origin!r} has {len(members)} images under {key.lstrip('/')!r} "
                f"({', '.join(parts)}); say which of them is the image with --image-column "
                f"{parts[0]}"
            )
