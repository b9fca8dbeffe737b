"""How long it takes from a picture's bytes to a model's pixels, exactly and quickly."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import Preprocess
from cliptune.errors import BadImageError
from cliptune.features.ahead import BATCHES_AHEAD, ReadingThreads, images_per_second
from cliptune.features.device_decoding import DeviceDecoder
from cliptune.features.device_reading import DeviceReader
from cliptune.features.processes import ReadingProcesses
from cliptune.features.reading import QuickReader, RowReader
from cliptune.images.decode import decode_image, decode_levels
from cliptune.system.processors import usable_cores

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["ReadingSpeed", "measure_reading"]

_PICTURES, _ROUNDS = 24, 3


@dataclass(frozen=True)
class ReadingSpeed:
    """Processor time of one core for a picture, in milliseconds.

    Attributes:
        n_images: How many pictures were read.
        exact: As the model's transform says.
        quick: As ``QuickReader`` does; None where it prepares pictures exactly.
        decoder: What decodes a JPEG for it: ``simplejpeg`` or ``Pillow``.
        workers: Threads or processes that read at once, one per usable core.
        threads: Images a second by so many threads, exactly.
        processes: By so many processes; None where they cannot read these images.
        on_device: By the device that computes, which decodes JPEGs for ``DeviceReader``; None
            where it decodes none of these, or was not asked.
    """

    n_images: int
    exact: float
    quick: float | None
    decoder: str
    workers: int
    threads: float
    processes: float | None
    on_device: float | None

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        return asdict(self)


def measure_reading(
    preprocess: Preprocess, table: ImageTable, device: str | None = None
) -> ReadingSpeed | None:
    """Read the first readable pictures of a table both ways; None where there are none.

    Torch, which resizes for the quick way, should be loaded.

    Args:
        preprocess: From a picture to an encoder's pixels.
        table: N images.
        device: One that may decode JPEGs, which is then measured too.
    """
    found: dict[int, bytes] = {}
    quick_too = True
    for row in range(min(len(table), 2 * _PICTURES)):
        with suppress(BadImageError, ValueError, MemoryError):
            data = table.sources[row].read()
            quick_too &= preprocess.quickly(decode_levels(data, name="")) is not None
            preprocess(decode_image(data, name=""))
            found[row] = data
        if len(found) == _PICTURES:
            break
    if not found:
        return None
    side, pictures = preprocess.min_side, list(found.values())
    exact = _time(lambda data: preprocess(decode_image(data, name="", min_side=side)), pictures)
    quick = None
    if quick_too:
        quick = _time(
            lambda data: preprocess.quickly(decode_levels(data, name="", min_side=side)), pictures
        )
    decoder = "simplejpeg" if find_spec("simplejpeg") else "Pillow"
    read = RowReader(partial(table.load_image, min_side=side), preprocess, table.ids)
    rows = np.asarray(list(found))
    rates = _compare_ways(read, rows, preprocess.shape)
    on_device = _rate_on(device, preprocess, table, rows) if device and quick_too else None
    return ReadingSpeed(len(found), exact, quick, decoder, usable_cores(), *rates, on_device)


def _compare_ways(
    read: RowReader, rows: NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[float, float | None]:
    """Return images a second by as many threads as cores, and by as many processes."""
    count = usable_cores()
    batches = 4 * count  # so that all have enough to do
    with closing(ReadingThreads(read, shape, count)) as threads:
        by_threads = images_per_second(threads, rows, batches=batches)
    room = {"batch_size": len(rows), "count": count, "batches": BATCHES_AHEAD + 2}
    processes = ReadingProcesses.start(read, shape, **room)
    if processes is None:
        return by_threads, None
    with closing(processes):
        if not processes.wait():
            return by_threads, None
        return by_threads, images_per_second(processes, rows, batches=batches)


def _rate_on(
    device: str, preprocess: Preprocess, table: ImageTable, rows: NDArray[np.int64]
) -> float | None:
    """Return images a second with JPEGs decoded on a device; None where it decodes none."""
    read = DeviceReader(QuickReader(table, preprocess, None), DeviceDecoder(preprocess, device))
    count = usable_cores()
    with closing(ReadingThreads(read, preprocess.shape, count)) as threads:
        rate = images_per_second(threads, rows, batches=4 * count)
    return rate if read.tally.first else None


def _time(read: Callable[[bytes], object], pictures: list[bytes]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        for data in pictures:
            read(data)
        rounds.append(1e3 * (time.thread_time() - began) / len(pictures))
    return median(rounds)
