"""The words that people use for splits, and for folders that only hold files.

It knows words, and nothing about what lies in folders.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

__all__ = [
    "ROLES",
    "UNLABELLED_FOLDER",
    "are_places",
    "is_storage",
    "is_submission",
    "split_in",
    "split_of",
    "split_word",
    "trunk",
    "without_split",
]

# Where FiftyOne keeps images without a label beside class folders.
UNLABELLED_FOLDER = "_unlabeled"

ROLES = ("train", "val", "test", "unlabelled", "class", "ignore")

_WORDS = {
    "train": "train training trn trainset trainval learn",
    "val": "val valid validation validate valset dev devel devset development "
    "eval evaluate evaluation evalset",
    "test": "test testing tst testset holdout heldout",
    "unlabelled": "pred predict prediction inference unlabelled unlabeled unsup unsupervised",
}
# Too short to say anything but where the folders below agree.
_SHORT = {"tr": "train", "va": "val", "ts": "test", "te": "test", "ev": "val"}
_SPLITS = {word: split for split, words in _WORDS.items() for word in words.split()}
_STORAGE = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "jpg",
        "jpeg",
        "jpegs",
        "jpegimages",
        "png",
        "pngs",
        "pics",
        "pictures",
        "files",
        "data",
        "dataset",
        "datasets",
        "archive",
        "raw",
        "unknown",
        "all",
    ]
)
_COUNTS = frozenset(["part", "parts", "chunk", "batch"])
_KINDS = frozenset(
    ["class", "label", "category", "type", "kind", "grade", "stage", "level", "score", "phase"]
)
# A word and what counts it: a number, or a capital or single letter behind a separator.
_COUNTED = re.compile(r"(.*[^\W\d_])[\s_\-.]*(?:\d+|(?<=[\s_\-.])[A-Za-z])")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", re.ASCII)


def split_of(name: str) -> str | None:
    """Return ``train``, ``val``, ``test`` or ``unlabelled`` for a word that means it alone."""
    return _SPLITS.get(_joined(name))


def split_word(name: str) -> str | None:
    """Return the same for short words such as ``tr`` too."""
    return split_of(name) or _SHORT.get(_joined(name))


def split_in(name: str) -> str | None:
    """Return the split that a word within a name means: ``seg_train``, ``testImages``, ``val2017``.

    Names that hold words of two splits mean none.
    """
    if (whole := split_word(name)) is not None:
        return whole
    parts = [part.lower() for part in _PARTS.findall(name)]
    pairs = [a + b for a, b in pairwise(parts)]
    found = {_SPLITS[part] for part in (*parts, *pairs) if part in _SPLITS}
    return found.pop() if len(found) == 1 else None


def trunk(name: str) -> str:
    """Return what is left of a name without words of splits and numbers, e.g. ``seg``."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    return " ".join(p for p in parts if p not in _SPLITS and p not in _SHORT and not p.isdigit())


def without_split(name: str) -> str:
    """Return a name without words of splits: ``A`` of ``trainA``, ``cats`` of ``cats_train``."""
    rest = _PARTS.sub(lambda m: "\0" if m.group().lower() in _SPLITS else m.group(), name)
    return re.sub(r"[\s_\-.]*\0[\s_\-.]*", " ", rest).strip()


def is_storage(name: str) -> bool:
    """Tell words for folders that hold images of any kind: ``images``, ``images_part_2``."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    counted = [p for p in parts if p not in _COUNTS and not p.isdigit() and len(p) > 1]
    return _joined(name) in _STORAGE or (bool(counted) and all(p in _STORAGE for p in counted))


def are_places(names: Sequence[str]) -> bool:
    """Tell folders that differ in a number or a letter alone: ``camera_A``, ``camera_B``.

    They may be places of files, or classes; names that say that they are classes are not meant.
    """
    ends = [_COUNTED.fullmatch(name.strip()) for name in names]
    trunks = {end[1].lower() for end in ends if end}
    if len(names) < 2 or not all(ends) or len(trunks) != 1:
        return False
    return not _KINDS.intersection(part.lower() for part in _PARTS.findall(trunks.pop()))


def is_submission(name: str) -> bool:
    """Tell tables that are forms to fill in: ``sample_submission.csv`` has made-up labels."""
    return "submission" in name.lower()


def _joined(name: str) -> str:
    """Drop separators and a number at the end: ``hold-out``, ``test_1`` and ``val2017``."""
    return re.sub(r"[\s_\-.]", "", name.strip().lower()).rstrip("0123456789")
