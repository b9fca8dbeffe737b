"""Whether decoding JPEGs on the device pays: a sample of a table is embedded both ways.

It is measured with the encoder at work, which takes its share of the device.
"""

from __future__ import annotations

import logging
from contextlib import closing
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import CliptuneError
from cliptune.features.ahead import read_ahead
from cliptune.features.device_check import LEAST_COSINE, device_cosine
from cliptune.features.device_reading import DeviceReader, device_reader
from cliptune.features.reading import Reader, quick_reader

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable

__all__ = ["device_pays"]

_log = logging.getLogger(__name__)

_GAIN = 1.1  # times the images of the quick way
_SAMPLE, _BATCH, _ROUNDS = 320, 64, 2


def device_pays(encoder: DualEncoder, table: ImageTable, threads: int) -> bool:
    """Embed a sample by the quick way and by the device, in turns.

    Args:
        encoder: One whose ``preprocess.is_quick``, on a device that decodes.
        table: N images.
        threads: That read.

    Returns:
        Whether embeddings are those of exact pixels and come at least 1.1 times as fast; not where
        an image of the sample cannot be read.
    """
    places = np.linspace(0, len(table) - 1, min(len(table), _SAMPLE)).astype(np.int64)
    sample = table.select(places)
    device, quick = device_reader(encoder, sample), quick_reader(encoder, sample)
    rates = np.zeros((_ROUNDS, 2))
    try:
        for turn in rates:
            turn[:] = [_rate(encoder, read, len(sample), threads) for read in (quick, device)]
        is_right = _is_right(encoder, sample, device)
    except (CliptuneError, RuntimeError) as error:  # the job itself tells of images
        _log.info("JPEGs are not decoded on %s: %s", encoder.device, error)
        return False
    by_threads, by_device = rates.max(axis=0).tolist()
    _log.info(
        "with JPEGs decoded on %s %.0f images a second, by threads %.0f",
        encoder.device, by_device, by_threads,
    )  # fmt: skip
    return is_right and bool(by_device >= _GAIN * by_threads)


def _is_right(encoder: DualEncoder, table: ImageTable, reader: DeviceReader) -> bool:
    rows = reader.tally.first
    return bool(rows) and device_cosine(encoder, table, reader, rows) >= LEAST_COSINE


def _rate(encoder: DualEncoder, read: Reader, n: int, threads: int) -> float:
    """Return images a second behind the first batch."""
    shape = encoder.preprocess.shape
    ahead = read_ahead(read, np.arange(n), shape=shape, batch_size=_BATCH, workers=threads)
    done, start = 0, 0.0
    with closing(ahead):
        for rows, pixels, _ in ahead:
            encoder.encode_images(pixels)
            done += len(rows) if start else 0
            start = start or perf_counter()
    return done / max(perf_counter() - start, 1e-9)
