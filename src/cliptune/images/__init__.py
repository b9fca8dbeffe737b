"""Images as data: find them, decode them, scan them, split them.

This package knows nothing about models, features or classifiers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliptune.system.lazy import lazy_names

if TYPE_CHECKING:
    from cliptune.images.captions import list_captions as list_captions
    from cliptune.images.captions import number_texts as number_texts
    from cliptune.images.decode import MAX_PIXELS as MAX_PIXELS
    from cliptune.images.decode import decode_image as decode_image
    from cliptune.images.labelled import labelled_part as labelled_part
    from cliptune.images.labelled import labelled_sets as labelled_sets
    from cliptune.images.labelled import learnable_part as learnable_part
    from cliptune.images.labelled import refuse_label_sets as refuse_label_sets
    from cliptune.images.labelled import require_classes as require_classes
    from cliptune.images.labelled import require_labels as require_labels
    from cliptune.images.loose import open_images as open_images
    from cliptune.images.reading import Ignored as Ignored
    from cliptune.images.reading import Reading as Reading
    from cliptune.images.sample import sample_rows as sample_rows
    from cliptune.images.scan import BadImage as BadImage
    from cliptune.images.scan import ScanReport as ScanReport
    from cliptune.images.scan import apply_bad_image_policy as apply_bad_image_policy
    from cliptune.images.scan import drop_bad as drop_bad
    from cliptune.images.scan import scan_images as scan_images
    from cliptune.images.sources import Source as Source
    from cliptune.images.split import split_validation as split_validation
    from cliptune.images.table import ImageTable as ImageTable

_HOMES = {
    "BadImage": "scan",
    "Ignored": "reading",
    "ImageTable": "table",
    "MAX_PIXELS": "decode",
    "Reading": "reading",
    "ScanReport": "scan",
    "Source": "sources",
    "apply_bad_image_policy": "scan",
    "decode_image": "decode",
    "drop_bad": "scan",
    "labelled_part": "labelled",
    "labelled_sets": "labelled",
    "learnable_part": "labelled",
    "list_captions": "captions",
    "number_texts": "captions",
    "open_images": "loose",
    "refuse_label_sets": "labelled",
    "require_classes": "labelled",
    "require_labels": "labelled",
    "sample_rows": "sample",
    "scan_images": "scan",
    "split_validation": "split",
}

__all__ = sorted(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
