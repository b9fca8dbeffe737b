"""The captions of a table, one text after another.

It knows nothing about models; of what captions say it only tells whether two are equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError
from cliptune.images.table import ImageTable

__all__ = ["list_captions", "number_texts"]

_MIN_IMAGES = 2


def list_captions(table: ImageTable) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return every caption, and the row of the image that each describes.

    Args:
        table: N images, some of which may have no caption.

    Returns:
        M texts in the table's order, and int64 (M,).

    Raises:
        DataError: Fewer than two images have captions; the message says how many.
    """
    captions = table.captions or ()
    described = sum(bool(texts) for texts in captions)
    if described < _MIN_IMAGES:
        raise DataError(
            f"{described} of the {len(table)} images of {table.root!r} have captions; expected at "
            f"least {_MIN_IMAGES}: a manifest with a column of captions, or texts in shards"
        )
    owners = np.repeat(np.arange(len(captions)), [len(texts) for texts in captions])
    return tuple(text for texts in captions for text in texts), owners


def number_texts(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number texts from 0, equal ones alike; case and runs of white space make no difference."""
    numbers: dict[str, int] = {}
    wordings = (" ".join(text.split()).casefold() for text in texts)
    return np.asarray([numbers.setdefault(w, len(numbers)) for w in wordings], dtype=np.int64)
