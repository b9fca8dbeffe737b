"""Features: the embeddings of images and texts, computed once.

``extract`` embeds a table batch by batch; ``FeatureStore`` keeps what it gives by content, so
that an image is embedded once per encoder; ``export_parquet`` hands it to other tools. This
package knows nothing about heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliptune.system.lazy import lazy_names

if TYPE_CHECKING:
    from cliptune.features.cache import CacheCheck as CacheCheck
    from cliptune.features.cache import CacheEntry as CacheEntry
    from cliptune.features.cache import DamagedShard as DamagedShard
    from cliptune.features.cache import Pruned as Pruned
    from cliptune.features.cache import list_cache as list_cache
    from cliptune.features.cache import prune_cache as prune_cache
    from cliptune.features.cache import verify_cache as verify_cache
    from cliptune.features.export import export_parquet as export_parquet
    from cliptune.features.extract import load_first_pixels as load_first_pixels
    from cliptune.features.guard import RowGuard as RowGuard
    from cliptune.features.guard import RowsChecked as RowsChecked
    from cliptune.features.guard import describe_computing as describe_computing
    from cliptune.features.holdings import ACTIVATIONS as ACTIVATIONS
    from cliptune.features.identity import DataIdentity as DataIdentity
    from cliptune.features.identity import load_identity as load_identity
    from cliptune.features.recompute import NotRecomputed as NotRecomputed
    from cliptune.features.recompute import Recomputed as Recomputed
    from cliptune.features.recompute import recompute_cache as recompute_cache
    from cliptune.features.store import FeatureStore as FeatureStore
    from cliptune.features.types import Batch as Batch
    from cliptune.features.types import Features as Features
    from cliptune.features.types import Progress as Progress

_HOMES = {
    "ACTIVATIONS": "holdings",
    "Batch": "types",
    "CacheCheck": "cache",
    "CacheEntry": "cache",
    "DamagedShard": "cache",
    "DataIdentity": "identity",
    "FeatureStore": "store",
    "Features": "types",
    "NotRecomputed": "recompute",
    "Progress": "types",
    "Pruned": "cache",
    "Recomputed": "recompute",
    "RowGuard": "guard",
    "RowsChecked": "guard",
    "describe_computing": "guard",
    "export_parquet": "export",
    "list_cache": "cache",
    "load_first_pixels": "extract",
    "load_identity": "identity",
    "prune_cache": "cache",
    "recompute_cache": "recompute",
    "verify_cache": "cache",
}

__all__ = sorted(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
