"""An encoder's speed on this machine, and how far its answers are those of the reference.

It knows encoders by their protocol and nothing about engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.engines.agreement import (
    PROBE_LABELS,
    Agreement,
    compare_rows,
    draw_inputs,
)
from cliptune.system.allocator import keep_freed_memory

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.preprocess import Preprocess

__all__ = ["Measured", "Sample", "Work", "measure", "take_sample"]

_MIN_IMAGES = 32
_MAX_IMAGES = 64
_TIMED_TEXTS = 256
_PROMPT = "a photo of a {}."


@dataclass(frozen=True)
class Work:
    """What an encoder is wanted for, as far as the choice of an engine can use it.

    Attributes:
        n_images: How many images are to be embedded; None for many.
        load_pixels: Gives up to so many of the user's images, uint8 (N, 3, H, W).
        labels: The user's labels, if any are known.
        whose: What the images are, in words.
    """

    n_images: int | None = None
    load_pixels: Callable[[Preprocess, int], NDArray[np.uint8]] | None = None
    labels: tuple[str, ...] = ()
    whose: str = "your images"


@dataclass(frozen=True)
class Sample:
    """Images and texts to compare and to time with.

    Attributes:
        pixels: uint8 (N, 3, H, W).
        texts: One a label.
        source: What the images are, in words.
    """

    pixels: NDArray[np.uint8]
    texts: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Measured:
    """One way of computing, measured.

    Attributes:
        images_per_second: From bytes in memory to unit rows.
        texts_per_second: From strings to unit rows.
        agreement: With the reference, on the sample.
        images: The reference's rows of the sample's images, or this way's.
        texts: Rows of the sample's texts.
    """

    images_per_second: float
    texts_per_second: float
    agreement: Agreement
    images: NDArray[np.float32]
    texts: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the scores as plain JSON values."""
        return {
            "images_per_second": self.images_per_second,
            "texts_per_second": self.texts_per_second,
            "min_cosine": self.agreement.min_cosine,
            "top1_agreement": self.agreement.top1,
        }


def take_sample(preprocess: Preprocess, work: Work) -> Sample:
    """Take the user's first images, made up to 32 with drawn ones where they are fewer."""
    labels = work.labels if len(work.labels) > 1 else PROBE_LABELS
    texts = tuple(_PROMPT.format(label) for label in labels[:_TIMED_TEXTS])
    own = np.empty((0, *preprocess.shape), np.uint8)
    if work.load_pixels is not None:
        own = work.load_pixels(preprocess, _MAX_IMAGES)
    lacking = _MIN_IMAGES - len(own)
    if lacking <= 0:
        return Sample(own, texts, f"{len(own)} of {work.whose}")
    drawn = draw_inputs(preprocess, lacking)
    words = f"{len(own)} of {work.whose} and {lacking} drawn ones" if len(own) else "drawn images"
    return Sample(np.concatenate([own, drawn]), texts, words)


def measure(
    encoder: DualEncoder,
    sample: Sample,
    *,
    reference: Measured | None,
    seconds: float = 2.0,
) -> Measured:
    """Embed the sample again and again for about some seconds, and compare with the reference.

    Args:
        encoder: What is measured.
        sample: With what.
        reference: Torch in float32 on the same sample; None if this is it.
        seconds: For images; a quarter of it for texts.
    """
    keep_freed_memory()
    images, image_rate = _timed(lambda: encoder.encode_images(sample.pixels), seconds)
    many = (sample.texts * _TIMED_TEXTS)[:_TIMED_TEXTS]  # two alone would not fill a batch
    many_rows, text_rate = _timed(lambda: _texts(encoder, many), seconds / 4)
    texts = many_rows[: len(sample.texts)]
    base = (reference.images, reference.texts) if reference else (images, texts)
    return Measured(image_rate, text_rate, compare_rows(images, texts, *base), images, texts)


def _timed(
    compute: Callable[[], NDArray[np.float32]], seconds: float
) -> tuple[NDArray[np.float32], float]:
    """Return the rows and rows per second; the first call warms up unless it takes too long."""
    start = perf_counter()
    rows = compute()
    first = perf_counter() - start
    if first > seconds:
        return rows, len(rows) / first
    start, done = perf_counter(), 0
    while (elapsed := perf_counter() - start) < seconds or not done:
        compute()
        done += len(rows)
    return rows, done / max(elapsed, perf_counter() - start)


def _texts(encoder: DualEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    return encoder.encode_texts(texts, truncate=True)
