"""Crops of a picture whose embeddings are averaged; a mirror image counts as one of its own.

It knows pictures and where to cut them, and no model. Ten crops at prediction are AlexNet's
(Krizhevsky et al., NeurIPS 2012, section 4.1); here features are averaged instead of answers, and
learned from likewise.

======  ===============================================================================
crops   what is seen
======  ===============================================================================
1       the picture
2       it and its mirror image
6       it, and cuts of 0.875 of either side: the centre and the four corners
12      these six and their mirror images
======  ===============================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliptune.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "CROPS",
    "SIDE_KEPT",
    "cut_out",
    "cuts_of",
    "has_mirrors",
    "require_crops",
    "require_one_crop",
]

CROPS = (1, 2, 6, 12)
SIDE_KEPT = 0.875
_N_CUTS = 6


def require_crops(crops: int) -> None:
    """Make sure that so many crops can be had.

    Raises:
        InputError: They cannot.
    """
    if crops not in CROPS:
        *some, last = map(str, CROPS)
        raise InputError(
            f"--crops {crops} came, {', '.join(some)} or {last} was expected; see docs/models.md"
        )


def require_one_crop(crops: int, name: str, what: str) -> None:
    """Make sure that an encoder sees pictures once.

    Args:
        crops: How many crops of each it averages.
        name: What it is called.
        what: What cannot be had of several crops, in words.

    Raises:
        InputError: It averages crops.
    """
    if crops > 1:
        raise InputError(f"{name} averages crops, and {what} cannot be averaged; leave out --crops")


def cuts_of(crops: int) -> int:
    """Return how many cuts of a picture so many crops are made of."""
    return _N_CUTS if crops >= _N_CUTS else 1


def has_mirrors(crops: int) -> bool:
    """Say whether mirror images are among so many crops."""
    return crops > cuts_of(crops)


def cut_out(image: Image.Image) -> list[Image.Image]:
    """Return the picture, its centre and its corners: upper left and right, lower left and right.

    What is cut is rounded to whole pixels, halves to even; the centre leaves the odd pixel below
    and on the right.
    """
    width, height = image.size
    w, h = max(1, round(SIDE_KEPT * width)), max(1, round(SIDE_KEPT * height))
    right, low = width - w, height - h
    places = [(right // 2, low // 2), (0, 0), (right, 0), (0, low), (right, low)]
    return [image, *(image.crop((x, y, x + w, y + h)) for x, y in places)]
