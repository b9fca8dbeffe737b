"""ImageTable: rows of (image, label, split) with the names of their classes.

It knows nothing about models or features; images are decoded only when asked for.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.errors import DataError, InputError
from cliptune.images.confidence import number_votes, soft_rows
from cliptune.images.decode import MAX_PIXELS, decode_image
from cliptune.images.names import GivenNames, name_classes, read_class_names
from cliptune.images.number_forms import in_class_order
from cliptune.images.reading import Reading
from cliptune.images.sources import FileSources, Source, take
from cliptune.images.split_words import split_of

if TYPE_CHECKING:
    from cliptune.images.records import Filter, LabelledImages

__all__ = ["ImageTable"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageTable:
    """N images and what is known about them.

    Attributes:
        sources: N images, not yet read.
        labels: int64, shape (N,), the class of each, -1 where it is unknown; all -1 where an
            image may have several.
        splits: str, shape (N,), ``train``, ``val``, ``test``, ``unlabelled``, or empty without
            splits.
        class_names: C names, ready for prompts.
        root: What the user named.
        captions: N groups of texts in data sets of captions, else nothing.
        label_sets: Where an image may have several labels, N groups of classes; nothing for an
            image of which nothing is known, an empty group where no class applies.
        groups: N names of what an image belongs with, such as a patient; empty where nobody said.
        confidence: Where labels are not certain, N shares by class; None for one that is. What
            they leave of 1 is spread over the classes that they do not name.
        reading: How the data set was read.
    """

    sources: Sequence[Source]
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    class_names: tuple[str, ...]
    root: str
    captions: tuple[tuple[str, ...], ...] | None = None
    label_sets: tuple[tuple[int, ...] | None, ...] | None = None
    groups: NDArray[np.str_] | None = None
    confidence: tuple[Mapping[int, float] | None, ...] | None = None
    reading: Reading | None = None

    @classmethod
    def open(
        cls,
        data: str | Path,
        *,
        split: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        caption_column: str | None = None,
        group_column: str | None = None,
        group_pattern: str | None = None,
        label_confidence: str | None = None,
        class_names: Sequence[str] | Path | None = None,
        where: Filter | None = None,
        folders: Mapping[str, str] | None = None,
        class_level: int | None = None,
        labels_from: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ImageTable:
        """Find the images of a data set and read their labels, but no image.

        Args:
            data: A folder, a manifest, shards, ``hf:OWNER/NAME``, or the name of a data set.
            split: Keep only this split.
            image_column: The manifest's column of images; else it is found by usual names.
            label_column: The same for labels.
            caption_column: The same for captions.
            group_column: The column that says what an image belongs with; none otherwise.
            group_pattern: A regular expression that finds in an image's path what it belongs
                with: its parentheses, or all of it.
            label_confidence: The column that says how sure labels are: numbers from 0 to 1, or
                votes by class; ``votes`` of an export with several annotators.
            class_names: The names of the classes, or a file of them (``read_class_names``).
            where: Keep only rows whose cell in a column is one of some values.
            folders: What folders are, by name or path: ``train``, ``val``, ``test``,
                ``unlabelled``, ``class`` or ``ignore``; ``.`` is the data's own folder.
            class_level: How many levels below ``data`` the folders of classes are.
            labels_from: ``folders``, ``table``, or the path of a table below ``data``.
            progress: Called with (bytes so far, bytes in all) while a named set is fetched.

        Raises:
            InputError: ``data``, ``split``, a name or a filter does not fit.
            DataError: The data set has no images, or contradicts itself.
            UnavailableError: It has to be fetched and cannot be.
        """
        # Every layout that there is: pictures that are given one by one need none.
        from cliptune.images.asked import Asked
        from cliptune.images.by_path import group_by_pattern
        from cliptune.images.locate import read_data
        from cliptune.images.records import Columns
        from cliptune.images.roles import FolderOptions

        asked = Asked(
            Columns(image_column, label_column, caption_column, group_column, label_confidence),
            where,
            FolderOptions(folders or {}, class_level),
            labels_from,
        )
        given = read_class_names(class_names) if isinstance(class_names, Path) else class_names
        if group_column is not None and group_pattern is not None:
            raise InputError("--group-column and --group-pattern came together; give one of them")
        images = read_data(data, asked, progress=progress)
        if group_pattern is not None:
            images = group_by_pattern(images, group_pattern)
        table = _make_table(images, given, str(data))
        return table if split is None else table.split(split)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def ids(self) -> tuple[str, ...]:
        """N names of images, unique and the same on every machine."""
        return tuple(source.id for source in self.sources)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> ImageTable:
        """Return the rows of these numbers or of this mask; all class names stay.

        Args:
            rows: int64 row numbers of any length, or bool of shape (N,).
        """
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            sources=take(self.sources, chosen.tolist()),
            labels=self.labels[chosen],
            splits=self.splits[chosen],
            captions=None if self.captions is None else tuple(self.captions[r] for r in chosen),
            label_sets=None
            if self.label_sets is None
            else tuple(self.label_sets[r] for r in chosen),
            groups=None if self.groups is None else self.groups[chosen],
            confidence=None
            if self.confidence is None
            else tuple(self.confidence[r] for r in chosen),
        )

    def split(self, name: str) -> ImageTable:
        """Return the rows of one split.

        Raises:
            InputError: There is no such split; the message lists those there are.
        """
        mask = self.splits == (split_of(name) or name)
        if not mask.any():
            there = sorted({str(s) for s in self.splits} - {""})
            has = f"its splits are: {', '.join(there)}" if there else "it has no splits"
            raise InputError(f"{self.root!r} has no split {name!r}; {has}")
        return self.select(mask)

    def load_image(
        self, row: int, *, max_pixels: int = MAX_PIXELS, min_side: int | None = None
    ) -> Image.Image:
        """Read and decode one image; see ``decode_image``.

        Raises:
            BadImageError: It cannot be read.
        """
        source = self.sources[row]
        name = source.location
        return decode_image(source.read(), name=name, max_pixels=max_pixels, min_side=min_side)

    @property
    def soft_labels(self) -> NDArray[np.float32] | None:
        """What each of N labelled images counts for each of C classes, float32 (N, C), 1 in sum.

        None where all labels are certain.
        """
        if self.confidence is None:
            return None
        return soft_rows(self.confidence, self.labels, len(self.class_names))

    def digest(self) -> str:
        """Return a SHA-256 over ids, labels, splits, names, captions and groups, in hex."""
        digest = hashlib.sha256()
        for part in (self.ids, [str(s) for s in self.splits], self.class_names):
            digest.update("\0".join((*part, "")).encode("utf-8", "backslashreplace") + b"\1")
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        for texts in self.captions or ():
            digest.update("\0".join((*texts, "")).encode("utf-8", "backslashreplace") + b"\1")
        for labels in self.label_sets or ():
            digest.update(f"{labels}\2".encode())
        for group in () if self.groups is None else self.groups:
            digest.update(f"{group}\3".encode("utf-8", "backslashreplace"))
        for shares in self.confidence or ():
            digest.update(f"{shares}\4".encode())
        return digest.hexdigest()


def _make_table(images: LabelledImages, given: GivenNames | None, root: str) -> ImageTable:
    from cliptune.catalog import known_class_names

    sets = images.label_sets
    seen = {label for labels in sets or () for label in labels or ()}
    seen |= {label for label in images.labels if label is not None}
    classes = images.classes or in_class_order(seen)
    if given is None and (known := known_class_names(classes)) is not None:
        _log.info("%r has the classes of a known data set: %s", root, dict(known))
        given = known
    names = name_classes(classes, given, numbered=images.numbered, origin=root)
    codes = [-1 if label is None else names.code_of[label] for label in images.labels]
    if not len(images.sources):
        raise DataError(f"{root!r} has no rows left; expected at least one image")
    if not isinstance(images.sources, FileSources) and _repeats(images.sources):
        raise DataError(f"{root!r} gives one name to two images; rename files that differ")
    return ImageTable(
        sources=images.sources,
        labels=np.asarray(codes, dtype=np.int64),
        splits=np.asarray(images.splits, dtype=np.str_),
        class_names=names.names,
        root=root,
        captions=None if images.captions is None else tuple(images.captions),
        label_sets=None
        if sets is None
        else tuple(
            None if labels is None else tuple(sorted(names.code_of[label] for label in labels))
            for labels in sets
        ),
        groups=None if images.groups is None else np.asarray(images.groups, dtype=np.str_),
        confidence=None
        if images.confidence is None
        else number_votes(images.confidence, codes, names.code_of, root),
        reading=None
        if images.reading is None
        else replace(images.reading, order=_order_in_words(classes, given)),
    )


def _repeats(sources: Sequence[Source]) -> bool:
    return len({source.id for source in sources}) < len(sources)


def _order_in_words(classes: Sequence[str], given: GivenNames | None) -> str:
    """Say how classes are ordered: other libraries sort names as text, or numbers within them."""
    if given is not None and not isinstance(given, Mapping):
        return "in the order of the names given"
    if len(classes) < 2:
        return ""
    if list(classes) == sorted(classes):
        return "sorted by name"
    if tuple(classes) == in_class_order(classes):
        return "sorted by number"
    return "in the order that the data give"
