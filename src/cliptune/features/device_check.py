"""Whether embeddings from pictures that the device decoded are those of the model's own transform.

It is asked while a table is embedded, before any of its rows is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import EngineError
from cliptune.features.reading import exact_reader

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.features.device_reading import DeviceReader
    from cliptune.images import ImageTable

__all__ = ["LEAST_COSINE", "DeviceCheck", "device_cosine"]

LEAST_COSINE = 0.9995
_ENOUGH = 8  # pictures that were compared, after which an encoder is trusted
_trusted: set[tuple[str, str, str]] = set()  # encoders, by this process


class DeviceCheck:
    """Compares the first pictures that a device decoded for an encoder in this process.

    Args:
        encoder: What embeds.
        table: The images.
        reader: What reads their rows.
    """

    def __init__(self, encoder: DualEncoder, table: ImageTable, reader: DeviceReader) -> None:
        self._encoder, self._table, self._reader = encoder, table, reader
        self._key = (encoder.fingerprint, encoder.precision, encoder.device)
        self._compared = 0

    def look(self) -> None:
        """Compare what was decoded since the last look, until eight pictures of a table were.

        Raises:
            BadImageError: A picture cannot be read any more.
            EngineError: The device decodes none, or embeddings are others.
        """
        if self._key in _trusted:
            return
        rows, tally = list(self._reader.tally.first), self._reader.tally
        if not rows and tally.refused >= _ENOUGH:
            raise EngineError(
                f"{self._encoder.device} decoded none of {tally.refused} JPEGs ({tally.reason}); "
                "expected torchvision's decoder for that device: use --pixels quick"
            )
        if len(rows) == self._compared:
            return
        cosine = device_cosine(self._encoder, self._table, self._reader, rows)
        if not cosine >= LEAST_COSINE:
            raise EngineError(
                f"embeddings of {len(rows)} JPEGs decoded on {self._encoder.device} have a cosine "
                f"of only {cosine:.5f} with those of exact pixels; expected at least "
                f"{LEAST_COSINE}: use --pixels quick"
            )
        self._compared = len(rows)
        if self._compared >= _ENOUGH:
            _trusted.add(self._key)


def device_cosine(
    encoder: DualEncoder, table: ImageTable, reader: DeviceReader, rows: list[int]
) -> float:
    """Return the smallest cosine between embeddings from exact pixels and from the device's.

    Args:
        encoder: What embeds.
        table: The images.
        reader: What reads their rows on the device.
        rows: At least one of them.

    Raises:
        BadImageError: One cannot be read.
    """
    read = exact_reader(encoder, table)
    exact = encoder.encode_images(np.stack([read(row) for row in rows]))
    found = encoder.encode_images(reader.finish([reader.begin(row) for row in rows]))
    return float(np.sum(exact.astype(np.float64) * found, axis=1).min())
