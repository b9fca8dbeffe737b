"""Batches that do not fit into memory: halved until they do.

It knows errors of allocators, and not what is computed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_in_parts", "is_out_of_memory"]

_LOG = logging.getLogger(__name__)
_PHRASES = ("out of memory", "bad_alloc", "can't allocate memory", "failed to allocate")


def encode_in_parts(
    encode: Callable[[NDArray[Any]], NDArray[np.float32]], batch: NDArray[Any]
) -> NDArray[np.float32]:
    """Encode a batch (B, ...), in halves where it does not fit.

    Args:
        encode: Maps (B, ...) to rows (B, ...).
        batch: At least one row.

    Raises:
        MemoryError: Or what the framework raises instead: not even one row fits.
    """
    try:
        return encode(batch)
    except (MemoryError, RuntimeError) as error:
        if len(batch) < 2 or not is_out_of_memory(error):
            raise
    half = len(batch) // 2
    _LOG.warning("a batch of %d does not fit into memory; going on with %d", len(batch), half)
    parts = [encode_in_parts(encode, batch[:half]), encode_in_parts(encode, batch[half:])]
    return np.concatenate(parts)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error tells of memory; frameworks raise several kinds."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in _PHRASES)
