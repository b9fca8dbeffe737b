"""Colours by role.

It knows nothing about figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.plots.figures import COLOURS

__all__ = ["CLASS_COLOURS", "IMAGE_COLOUR", "IMAGE_COLOUR_ON_DARK", "TEXT_COLOUR", "colour_numbers"]

IMAGE_COLOUR = "#0072b2"
IMAGE_COLOUR_ON_DARK = "#56b4e9"
TEXT_COLOUR = "#d55e00"
CLASS_COLOURS = COLOURS


def colour_numbers(places: NDArray[np.float32]) -> NDArray[np.int64]:
    """Assign a colour's number to each class, so that neighbours in the plane differ.

    More classes than colours share them; going round the middle by angle puts the same colour
    as far apart as can be. What a point is, its label says.

    Args:
        places: float32 (C, 2), where each class lies.
    """
    offsets = places - places.mean(axis=0)
    angles = np.arctan2(offsets[:, 1], offsets[:, 0])
    order = np.argsort(angles, kind="stable") if len(places) > len(CLASS_COLOURS) else slice(None)
    numbers = np.empty(len(places), dtype=np.int64)
    numbers[order] = np.arange(len(places)) % len(CLASS_COLOURS)
    return numbers
