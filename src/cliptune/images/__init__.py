"""Images as data: find them, decode them, scan them, split them.

This package knows nothing about models, features or classifiers.
"""

from __future__ import annotations

from cliptune.images.captions import list_captions, number_texts
from cliptune.images.decode import MAX_PIXELS, decode_image
from cliptune.images.labelled import (
    labelled_part,
    labelled_sets,
    learnable_part,
    refuse_label_sets,
    require_classes,
    require_labels,
)
from cliptune.images.loose import open_images
from cliptune.images.reading import Ignored, Reading
from cliptune.images.sample import sample_rows
from cliptune.images.scan import (
    BadImage,
    ScanReport,
    apply_bad_image_policy,
    drop_bad,
    scan_images,
)
from cliptune.images.sources import Source
from cliptune.images.split import split_validation
from cliptune.images.table import ImageTable

__all__ = [
    "MAX_PIXELS",
    "BadImage",
    "Ignored",
    "ImageTable",
    "Reading",
    "ScanReport",
    "Source",
    "apply_bad_image_policy",
    "decode_image",
    "drop_bad",
    "labelled_part",
    "labelled_sets",
    "learnable_part",
    "list_captions",
    "number_texts",
    "open_images",
    "refuse_label_sets",
    "require_classes",
    "require_labels",
    "sample_rows",
    "scan_images",
    "split_validation",
]
