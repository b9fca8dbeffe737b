"""Features: the embeddings of images and texts, computed once.

``extract`` embeds a table batch by batch; ``FeatureStore`` keeps what it gives by content, so
that an image is embedded once per encoder; ``export_parquet`` hands it to other tools. This
package knows nothing about heads.
"""

from __future__ import annotations

from cliptune.features.cache import (
    CacheCheck,
    CacheEntry,
    DamagedShard,
    Pruned,
    list_cache,
    prune_cache,
    verify_cache,
)
from cliptune.features.export import export_parquet
from cliptune.features.extract import extract, load_first_pixels
from cliptune.features.guard import RowGuard, RowsChecked, describe_computing
from cliptune.features.holdings import ACTIVATIONS
from cliptune.features.identity import DataIdentity, load_identity
from cliptune.features.recompute import NotRecomputed, Recomputed, recompute_cache
from cliptune.features.store import FeatureStore
from cliptune.features.types import Batch, Features, Progress

__all__ = [
    "ACTIVATIONS",
    "Batch",
    "CacheCheck",
    "CacheEntry",
    "DamagedShard",
    "DataIdentity",
    "FeatureStore",
    "Features",
    "NotRecomputed",
    "Progress",
    "Pruned",
    "Recomputed",
    "RowGuard",
    "RowsChecked",
    "describe_computing",
    "export_parquet",
    "extract",
    "list_cache",
    "load_first_pixels",
    "load_identity",
    "prune_cache",
    "recompute_cache",
    "verify_cache",
]
