"""Grey of more than 8 bits as grey of 8: which range its values are in, and where it is clear.

It knows nothing about files beyond what Pillow says of them. Integers are read by the smallest of
8, 12 and 16 bits that holds the largest of them (12 where a TIFF says so), so what a camera or a
label tool stored in a wider type keeps its contrast, and pictures of one kind are scaled alike.
Only values that no such range holds are stretched from the least to the greatest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["WIDE_MODES", "wide_grey_to_rgb"]

WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")

_LARGEST = (255, 4095, 65535)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF


def wide_grey_to_rgb(image: Image.Image) -> Image.Image:
    """Bring an image of one of ``WIDE_MODES`` to RGB of 8 bits; a transparent value is white.

    Raises:
        ValueError: Some pixels are not finite.
    """
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some pixels are not finite numbers")
    tags = getattr(image, "tag_v2", {})
    grey = _stretch(values) if image.mode == "F" else _scale(values, tags.get(_BITS_PER_SAMPLE))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255.0 - grey
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(values == clear, 255.0, grey)
    return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")


def _scale(
    values: NDArray[np.float64], declared_bits: tuple[int, ...] | None
) -> NDArray[np.float64]:
    """Map integers to 0..255 by the range of the bits that hold them."""
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > _LARGEST[-1]:
        return _spread(values, low, high)
    largest = next(one for one in _LARGEST if high <= one)
    if declared_bits == (12,):
        largest = max(largest, 4095)
    return values * (255.0 / largest)


def _stretch(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map floats to 0..255: 0 to 1 and 0 to 255 are ranges of their own."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 255:
        return values * (255.0 if high <= 1 else 1.0)
    return _spread(values, low, high)


def _spread(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return (values - low) * (255.0 / max(high - low, 1e-12))
