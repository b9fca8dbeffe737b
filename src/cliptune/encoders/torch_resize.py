"""Pictures resized as torch resizes bytes, which transformers' processors use.

It gives other bytes than Pillow for one value in 300, one apart or, seldom, two. It knows no model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["expect_pictures", "resize_as_torch"]

_BLOCK = 16  # rows of what comes out, which look at nearly the same pixels
_MOST_BITS = 22
_MANY = 400  # pictures of 500 x 375 that NumPy resizes while torch is being loaded
_MOST_LEVELS = 1 << 22  # that are floats at the same time


def resize_as_torch(
    levels: NDArray[np.uint8], size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    """Resize an RGB picture as ``torch.nn.functional.interpolate`` does with ``antialias``.

    By torch itself where it is loaded, which is several times as fast; loading it takes two
    seconds, so that otherwise NumPy gives the same bytes: weights are rounded to 16 bits, the
    picture is scaled across and then down, and rounded to bytes between the two. The sums are
    fractions that float64 holds exactly.

    Args:
        levels: The picture, uint8, shape (H, W, 3).
        size: Height and width in pixels.
        interpolation: ``bicubic`` or ``bilinear``.

    Returns:
        uint8, shape (3, height, width).
    """
    if levels.shape[:2] == size:
        return np.array(levels.transpose(2, 0, 1), order="C")
    resize = _in_torch if "torch" in sys.modules else _in_numpy
    return resize(levels, size, interpolation)


def expect_pictures(n: int) -> None:
    """Load torch if so many pictures will be resized that it pays."""
    if n >= _MANY:
        import torch

        assert torch.__version__


def _in_torch(
    levels: NDArray[np.uint8], size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    import torch
    from torch.nn.functional import interpolate

    own = levels if levels.flags.writeable else levels.copy()  # torch warns of what is not
    whole = torch.from_numpy(own.transpose(2, 0, 1))[None]
    resized = interpolate(whole, size=size, mode=interpolation, antialias=True, align_corners=False)
    found: NDArray[np.uint8] = resized[0].numpy()
    return found


def _in_numpy(
    levels: NDArray[np.uint8], size: tuple[int, int], interpolation: str
) -> NDArray[np.uint8]:
    height, width = size
    if levels.shape[1] != width:
        across = _weigh(levels.shape[1], width, interpolation)
        levels = _scale_rows(levels.transpose(1, 0, 2), across).transpose(1, 0, 2)
    if levels.shape[0] != height:
        levels = _scale_rows(levels, _weigh(levels.shape[0], height, interpolation))
    return np.ascontiguousarray(levels.transpose(2, 0, 1))


@dataclass(frozen=True)
class _Weights:
    """What each row that comes out is made of: a stretch of rows.

    Attributes:
        first: int64 (n,), where its stretch begins.
        values: float64 (n, k), whole numbers of 16 bits over a power of two; 0 behind the stretch.
    """

    first: NDArray[np.int64]
    values: NDArray[np.float64]

    def block(self, rows: slice) -> tuple[slice, NDArray[np.float64]]:
        """Return what some rows are made of: a stretch, and its weights (rows, stretch)."""
        first, values = self.first[rows], self.values[rows]
        places = first - first[0]
        found = np.zeros((len(first), places[-1] + values.shape[1]))
        columns = places[:, None] + np.arange(values.shape[1])
        np.put_along_axis(found, columns, values, axis=1)
        return slice(first[0], first[0] + found.shape[1]), found


def _scale_rows(levels: NDArray[np.uint8], weights: _Weights) -> NDArray[np.uint8]:
    """Scale along the first axis: (n, m, 3) to (rows of the weights, m, 3)."""
    n, m, channels = levels.shape
    flat = levels.reshape(n, m * channels)
    found = np.empty((len(weights.first), m * channels), np.uint8)
    for start in range(0, len(found), _BLOCK):
        rows = slice(start, start + _BLOCK)
        seen, values = weights.block(rows)
        values = values[:, : n - seen.start]  # what is beyond the picture counts 0
        step = max(1, _MOST_LEVELS // values.shape[1])
        for left in range(0, m * channels, step):
            part = slice(left, left + step)
            sums = values @ flat[seen, part].astype(np.float64)
            sums += 0.5
            np.floor(sums, out=sums)
            np.clip(sums, 0, 255, out=sums)
            found[rows, part] = sums
    return found.reshape(len(found), m, channels)


@lru_cache(maxsize=8)
def _weigh(given: int, wanted: int, interpolation: str) -> _Weights:
    """Say how much each of ``given`` rows counts for each of ``wanted``."""
    reach, kernel = _KERNELS[interpolation]
    scale = given / wanted
    support = reach * max(scale, 1.0)
    centres = scale * (np.arange(wanted) + 0.5)
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + support + 0.5).astype(np.int64), given)
    longest = int(np.ceil(support)) * 2 + 1
    rows = first[:, None] + np.arange(longest)
    inside = rows < np.minimum(last, first + longest)[:, None]
    values = kernel((rows - centres[:, None] + 0.5) / max(scale, 1.0)) * inside
    values /= values.sum(axis=1, keepdims=True)
    bits = 0
    while bits < _MOST_BITS and int(0.5 + values.max() * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    rounded = np.trunc(values * (1 << bits) + np.copysign(0.5, values)) / (1 << bits)
    return _Weights(first, rounded * inside)


def _triangle(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.maximum(1 - np.abs(distances), 0)
    return found


def _cubic(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic filter of coefficient -0.5."""
    x = np.abs(distances)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    found: NDArray[np.float64] = np.where(x < 1, near, np.where(x < 2, far, 0))
    return found


_KERNELS: dict[str, tuple[int, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bilinear": (1, _triangle),
    "bicubic": (2, _cubic),
}
