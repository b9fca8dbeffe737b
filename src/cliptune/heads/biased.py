"""Heads with a bias, which an offset of each class can be added to.

It knows heads by the arrays that they save.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.registry import LazyHeads

if TYPE_CHECKING:
    from cliptune.heads import Head

__all__ = ["has_bias", "with_offsets"]


def has_bias(name: str) -> bool:
    """Say whether a head's logits are something plus a bias (C,).

    Raises:
        UnknownNameError: There is no such head.
    """
    axes = cast("Any", LazyHeads()[name]).saved_axes  # Any: every head is a BaseHead
    return bool(axes.get("bias") == 1)


def with_offsets(head: Head, offsets: NDArray[np.float64]) -> Head:
    """Return a fitted head with so much added to each class's logit; the head itself stays.

    Args:
        head: One of which ``has_bias`` is true.
        offsets: float64 (C,).
    """
    moved = cast("Any", copy(head))  # Any: a head with a bias
    moved.bias_ = (moved.bias_ + offsets).astype(np.float32)
    return cast("Head", moved)
