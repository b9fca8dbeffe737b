"""The captions of a table, one text after another.

It knows nothing about models; what a caption says is not looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError
from cliptune.images.table import ImageTable

__all__ = ["list_captions"]

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
