"""From rows of a table to pixels, with JPEGs decoded on the device that computes.

Threads read files and judge headers; a batch's JPEGs are then decoded in one call. What the device
is not asked for, or refuses, is read as ``QuickReader`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder
from cliptune.features.device_decoding import DeviceDecoder, Jpeg
from cliptune.features.reading import QuickReader, quick_reader
from cliptune.images.plain_jpegs import plain_jpeg_size

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["Begun", "DeviceReader", "Tally", "device_reader"]

_MOST_PIXELS = 1 << 25  # of a picture for the device, which takes 16 bytes for each
_KEPT = 8  # rows that a tally names


@dataclass(frozen=True)
class Begun:
    """A row that was read: its pixels, or the JPEG that is still to be decoded.

    Attributes:
        row: Which one.
        found: Pixels uint8 (3, H, W), or bytes with height and width.
    """

    row: int
    found: NDArray[np.uint8] | Jpeg


@dataclass
class Tally:
    """What became of the JPEGs that the device was asked for.

    Attributes:
        first: The first rows, at most eight, that it decoded.
        refused: How many it did not decode.
        reason: What it said of the last of these.
    """

    first: list[int] = field(default_factory=list)
    refused: int = 0
    reason: str = ""

    def add(self, row: int) -> None:
        """Count a row that was decoded."""
        if len(self.first) < _KEPT and row not in self.first:
            self.first.append(row)


class DeviceReader:
    """Reads rows in two steps, of which the second does a whole batch at once.

    Args:
        quick: Reads what the device does not.
        decoder: Decodes, resizes and crops JPEGs on the device.

    Attributes:
        tally: What became of the JPEGs so far.
    """

    def __init__(self, quick: QuickReader, decoder: DeviceDecoder) -> None:
        self._quick, self._decoder, self._lock = quick, decoder, Lock()
        self.tally = Tally()

    def __call__(self, row: int) -> NDArray[np.uint8]:
        """Read one row: uint8 (3, H, W).

        Raises:
            BadImageError: It cannot be read or resized.
        """
        pixels: NDArray[np.uint8] = self.finish([self.begin(row)])[0]
        return pixels

    def begin(self, row: int) -> Begun:
        """Read a row's file, and decode it where the device will not; from any thread.

        Raises:
            BadImageError: It cannot be read or resized, as far as that is known yet.
        """
        source = self._quick.table.sources[row]
        data = source.read()
        size = plain_jpeg_size(data, name=source.location, min_side=self._quick.min_side)
        if size is None or size[0] * size[1] > _MOST_PIXELS or not self._fits(size):
            return Begun(row, self._quick.prepare(row, data))
        return Begun(row, (data, size))

    def finish(self, begun: Sequence[Begun]) -> NDArray[np.uint8]:
        """Decode what is left of a batch.

        Args:
            begun: B rows, at least one.

        Returns:
            uint8, shape (B, 3, H, W).

        Raises:
            BadImageError: An image cannot be read; the message names it.
        """
        pixels = np.empty((len(begun), *self._quick.preprocess.shape), np.uint8)
        left: list[tuple[int, Jpeg]] = []
        for place, one in enumerate(begun):
            if isinstance(one.found, tuple):
                left.append((place, one.found))
            else:
                pixels[place] = one.found
        if left:
            rows = [begun[place].row for place, _ in left]
            pixels[[place for place, _ in left]] = self._decode(rows, [jpeg for _, jpeg in left])
        return pixels

    def _fits(self, size: tuple[int, int]) -> bool:
        return self._quick.preprocess.quick_fit(size) is not None

    def _decode(self, rows: Sequence[int], jpegs: Sequence[Jpeg]) -> NDArray[np.uint8]:
        """Decode all at once, or one by one where one of them is refused."""
        with self._lock:
            try:
                pixels = self._decoder.pixels(jpegs)
            except RuntimeError as error:
                if len(rows) == 1:
                    return self._refused(rows[0], jpegs[0], error)
            else:
                for row in rows:
                    self.tally.add(row)
                return pixels
        alone = [self._decode([row], [jpeg]) for row, jpeg in zip(rows, jpegs, strict=True)]
        return np.concatenate(alone)

    def _refused(self, row: int, jpeg: Jpeg, error: RuntimeError) -> NDArray[np.uint8]:
        self.tally.refused += 1
        self.tally.reason = " ".join(str(error).split())[:200]
        return self._quick.prepare(row, jpeg[0])[None]


def device_reader(encoder: DualEncoder, table: ImageTable, device: str = "") -> DeviceReader:
    """Return what reads a table's rows for an encoder, with JPEGs decoded on its device.

    Args:
        encoder: One whose ``preprocess.is_quick``.
        table: The images.
        device: Another one than the encoder's.
    """
    quick = quick_reader(encoder, table)
    return DeviceReader(quick, DeviceDecoder(encoder.preprocess, device or encoder.device))
