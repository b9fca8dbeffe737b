"""Pictures at their own aspect ratio, as patches: so many as fit into a number.

It knows pictures, bytes and one packing of them, and no model. A picture becomes an array
(3, n + 1, p * p) for patches of p pixels and at most n of them: one row a patch, row by row over
the grid, and a first row that tells the grid: rows and columns, each in two bytes. What lies
behind the last patch is zero. So every picture has one shape, and one array tells all.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders.torch_resize import resize_as_torch

__all__ = ["grid_of", "native_grid", "pack_patches", "packed_size"]

_PRECISION = 1e-5  # of the scale that is searched, as in transformers
_LARGEST_SCALE = 100.0


def packed_size(max_patches: int, patch_size: int) -> tuple[int, int]:
    """Return height and width of the packing."""
    return max_patches + 1, patch_size * patch_size


def native_grid(height: int, width: int, max_patches: int, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of the largest grid of at most so many patches.

    The scale is found by halving an interval, as in transformers: with another precision some
    pictures would get another grid (arXiv:2502.14786, section 2.4.2).
    """

    def grid(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(side * scale / patch_size)) for side in (height, width))
        return rows, columns

    low, high = _PRECISION / 10, _LARGEST_SCALE
    while high - low >= _PRECISION:
        scale = (low + high) / 2
        rows, columns = grid(scale)
        if rows * columns <= max_patches:
            low = scale
        else:
            high = scale
    return grid(low)


def pack_patches(image: Image.Image, max_patches: int, patch_size: int) -> NDArray[np.uint8]:
    """Resize a picture to its grid and cut it into patches.

    Returns:
        uint8, shape (3, max_patches + 1, patch_size**2).
    """
    rows, columns = native_grid(image.height, image.width, max_patches, patch_size)
    size = rows * patch_size, columns * patch_size
    resized = resize_as_torch(np.asarray(image, np.uint8), size, "bilinear")
    tiles = resized.reshape(3, rows, patch_size, columns, patch_size).transpose(0, 1, 3, 2, 4)
    packed = np.zeros((3, *packed_size(max_patches, patch_size)), np.uint8)
    packed[0, 0, :4] = [*divmod(rows, 256), *divmod(columns, 256)]
    packed[:, 1 : 1 + rows * columns] = tiles.reshape(3, rows * columns, -1)
    return packed


def grid_of(packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return rows and columns of packed pictures (B, 3, n + 1, p * p): int64 (B, 2)."""
    told = packed[:, 0, 0, :4].astype(np.int64)
    return told[:, ::2] * 256 + told[:, 1::2]
