"""Images as data: find them, decode them, scan them, split them.

This package knows nothing about models, features or classifiers.
"""

from __future__ import annotations

from cliptune.images.decode import MAX_PIXELS, decode_image
from cliptune.images.sources import Source
from cliptune.images.table import ImageTable, require_classes, require_labels

__all__ = [
    "MAX_PIXELS",
    "ImageTable",
    "Source",
    "decode_image",
    "require_classes",
    "require_labels",
]
