"""From a row of a table to the pixels that an encoder takes.

A reader is called from several threads. It knows nothing about batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders import DualEncoder, Preprocess
from cliptune.errors import BadImageError
from cliptune.features.keys import reduces_input
from cliptune.images.decode import decode_levels

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = [
    "QuickReader",
    "Reader",
    "RowReader",
    "exact_reader",
    "quick_reader",
    "read_into",
    "small_parts",
]

_IMAGES_PER_TASK = 8

Reader = Callable[[int], NDArray[np.uint8]]
"""Gives the pixels of a row, uint8 (3, H, W)."""


@dataclass(frozen=True)
class RowReader:
    """Decodes a row's picture and prepares it as the model's own transform does.

    Attributes:
        load: Gives the RGB picture of a row.
        preprocess: From a picture to the encoder's pixels.
        ids: Names of all rows, for messages.
    """

    load: Callable[[int], Image.Image]
    preprocess: Preprocess
    ids: tuple[str, ...]

    def __call__(self, row: int) -> NDArray[np.uint8]:
        """Read a row.

        Raises:
            BadImageError: It cannot be read or resized.
        """
        image = self.load(row)
        try:
            return self.preprocess(image)
        except (ValueError, MemoryError) as error:
            raise _cannot_resize(self.ids[row], image.size, error) from error


@dataclass(frozen=True)
class QuickReader:
    """Decodes a row's picture into an array, and resizes it with torch's kernel for bytes.

    It takes about half of the time; a few bytes are others (``Preprocess.quickly``).

    Attributes:
        table: The images.
        preprocess: From a picture to the encoder's pixels.
        min_side: Pixels that a JPEG's shorter side keeps; None to decode it whole.
    """

    table: ImageTable
    preprocess: Preprocess
    min_side: int | None

    def __call__(self, row: int) -> NDArray[np.uint8]:
        """Read a row.

        Raises:
            BadImageError: It cannot be read or resized.
        """
        return self.prepare(row, self.table.sources[row].read())

    def prepare(self, row: int, data: bytes) -> NDArray[np.uint8]:
        """Turn the bytes of a row's file into its pixels.

        Raises:
            BadImageError: It cannot be read or resized.
        """
        name = self.table.sources[row].location
        levels = decode_levels(data, name=name, min_side=self.min_side)
        try:
            pixels = self.preprocess.quickly(levels)
            return self.preprocess(Image.fromarray(levels)) if pixels is None else pixels
        except (ValueError, MemoryError, RuntimeError) as error:
            size = levels.shape[1], levels.shape[0]
            raise _cannot_resize(self.table.ids[row], size, error) from error


def exact_reader(encoder: DualEncoder, table: ImageTable) -> RowReader:
    """Return what reads a table's rows for an encoder as it is defined."""
    min_side = encoder.preprocess.min_side if reduces_input(encoder) else None

    load = partial(table.load_image, min_side=min_side)
    return RowReader(load, encoder.preprocess, table.ids)


def quick_reader(encoder: DualEncoder, table: ImageTable) -> QuickReader:
    """Return what reads a table's rows for an encoder in less time; it loads torch."""
    import torch

    assert torch.__version__
    min_side = encoder.preprocess.min_side if reduces_input(encoder) else None
    return QuickReader(table, encoder.preprocess, min_side)


def read_into(pixels: NDArray[np.uint8], read: Reader, rows: NDArray[np.int64]) -> None:
    """Write the pixels of rows (M,) into an array of theirs, uint8 (M, 3, H, W)."""
    for place, row in enumerate(rows.tolist()):
        pixels[place] = read(row)


def small_parts(rows: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """Divide the rows of a batch among who reads: places in the batch, and their rows."""
    return [(i, rows[i : i + _IMAGES_PER_TASK]) for i in range(0, len(rows), _IMAGES_PER_TASK)]


def _cannot_resize(name: str, size: tuple[int, int], error: Exception) -> BadImageError:
    return BadImageError(
        f"image {name!r} of {size[0]} x {size[1]} pixels cannot be resized ({error}); remove it or "
        "crop it"
    )
