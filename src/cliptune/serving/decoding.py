"""From an item's bytes to pixels, in threads: what is wrong with one is said of that one.

It knows images and limits, and neither HTTP nor batches.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.joint import JointPreprocess
from cliptune.errors import BadImageError
from cliptune.images.decode import decode_image, reason_of

if TYPE_CHECKING:
    from cliptune.serving.intake import Item
    from cliptune.serving.served import ServedRun

__all__ = ["BadItemError", "Decoder"]

_NAME = "the image"


class BadItemError(Exception):
    """An image that cannot be answered.

    Args:
        code: ``not_an_image``, ``too_many_pixels`` or ``bad_base64``.
        message: Why, as a sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Decoder:
    """Threads that decode.

    Args:
        cores: The threads; whoever made them ends them.
        max_pixels: Of an image, judged by its header.
    """

    def __init__(self, cores: ThreadPoolExecutor, max_pixels: int) -> None:
        self._cores, self._max_pixels = cores, max_pixels

    async def pixels(self, item: Item, run: ServedRun) -> NDArray[np.uint8]:
        """Return what a run's tower takes, uint8 (3, h, w).

        Raises:
            BadItemError: The image cannot be read.
        """
        if item.problem:
            raise BadItemError("bad_base64", item.problem)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._cores, self._decode, item.data, run)

    def _decode(self, data: bytes, run: ServedRun) -> NDArray[np.uint8]:
        try:
            decoded = {
                side: decode_image(data, name=_NAME, max_pixels=self._max_pixels, min_side=side)
                for side in dict.fromkeys(run.min_sides)
            }
            images = [decoded[side] for side in run.min_sides]
            if isinstance(run.preprocess, JointPreprocess):
                return run.preprocess.of_each(images)
            return run.preprocess(images[0])
        except BadImageError as error:
            reason = reason_of(error, _NAME)
            code = "too_many_pixels" if "more than the limit" in reason else "not_an_image"
            raise BadItemError(code, reason) from error
        except (MemoryError, ValueError) as error:
            raise BadItemError("not_an_image", f"it cannot be resized ({error})") from error
