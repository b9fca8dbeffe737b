"""Where a verb keeps what blocks give that never train.

It knows the cache and the record of a run's images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cliptune.features import DataIdentity
    from cliptune.finetuning.entry import ActivationPlace
    from cliptune.workflows.session import Session

__all__ = ["keep_activations"]


def keep_activations(
    identity: DataIdentity,
    session: Session,
    *,
    prefixes: Mapping[int, str] | None = None,
    max_bytes: int | None = None,
) -> ActivationPlace:
    """Say where hidden states are kept, and by which digests of images they are found again.

    Args:
        identity: Which images there are, and what is in them.
        session: Knows the cache.
        prefixes: Of names in the record, by ``id`` of a table.
        max_bytes: Most that may be kept; half of what is free otherwise.
    """
    from cliptune.finetuning.entry import ActivationPlace

    return ActivationPlace.in_cache(
        session.store.cache_dir, identity, prefixes=prefixes, max_bytes=max_bytes
    )
