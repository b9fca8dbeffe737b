"""How long it takes from a picture's bytes to a model's pixels, exactly and quickly."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any

from cliptune.encoders import Preprocess
from cliptune.errors import BadImageError
from cliptune.images.decode import decode_image, decode_levels

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
    """

    n_images: int
    exact: float
    quick: float | None
    decoder: str

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        return asdict(self)


def measure_reading(preprocess: Preprocess, table: ImageTable) -> ReadingSpeed | None:
    """Read the first readable pictures of a table both ways; None where there are none.

    Torch, which resizes for the quick way, should be loaded.

    Args:
        preprocess: From a picture to an encoder's pixels.
        table: N images.
    """
    found: list[bytes] = []
    quick_too = True
    for row in range(min(len(table), 2 * _PICTURES)):
        with suppress(BadImageError, ValueError, MemoryError):
            data = table.sources[row].read()
            quick_too &= preprocess.quickly(decode_levels(data, name="")) is not None
            preprocess(decode_image(data, name=""))
            found.append(data)
        if len(found) == _PICTURES:
            break
    if not found:
        return None
    side = preprocess.min_side
    exact = _time(lambda data: preprocess(decode_image(data, name="", min_side=side)), found)
    quick = None
    if quick_too:
        quick = _time(
            lambda data: preprocess.quickly(decode_levels(data, name="", min_side=side)), found
        )
    decoder = "simplejpeg" if find_spec("simplejpeg") else "Pillow"
    return ReadingSpeed(len(found), exact, quick, decoder)


def _time(read: Callable[[bytes], object], pictures: list[bytes]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        for data in pictures:
            read(data)
        rounds.append(1e3 * (time.thread_time() - began) / len(pictures))
    return median(rounds)
