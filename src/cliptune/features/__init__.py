"""Features: the embeddings of images and texts, computed once.

``extract`` embeds a table batch by batch; ``FeatureStore`` keeps what it gives by content, so
that an image is embedded once per encoder. This package knows nothing about heads.
"""

from __future__ import annotations

from cliptune.features.extract import extract
from cliptune.features.store import FeatureStore
from cliptune.features.types import Batch, Features, Progress

__all__ = ["Batch", "FeatureStore", "Features", "Progress", "extract"]
