"""Random views of training images: ``none``, ``light`` or ``strong``.

It knows nothing about batches or models. Own code instead of torchvision's transforms: those
draw from one global generator, so that a view would depend on which thread loads it; here a
generator of its own makes it depend on seed, epoch and image alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from cliptune.encoders.preprocess import Preprocess

__all__ = ["augment_image"]

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_LEAST_AREA = {"light": 0.7, "strong": 0.35}
_LOG_RATIO = math.log(4 / 3)
_JITTER = 0.4


def augment_image(
    image: Image.Image, preprocess: Preprocess, *, kind: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return one random view of an image at the model's input size.

    ``light`` takes 70-100 % of the area at an aspect ratio of 3:4 to 4:3 and flips half of the
    images left to right; ``strong`` takes 35-100 %, and varies brightness, contrast and colour
    by up to 40 %. ``none`` is the model's own transform. Neither suits images whose left and
    right differ in meaning, such as text.

    Returns:
        uint8, shape (3, H, W); of pictures in their own aspect ratio the packed patches.
    """
    if kind == "none":
        return preprocess(image)
    is_native = preprocess.resize_mode == "native"
    box = _random_box(image.width, image.height, _LEAST_AREA[kind], rng)
    own = max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1]))
    size = own if is_native else preprocess.size[::-1]
    view = image.resize(size, _RESAMPLING[preprocess.interpolation], box=box)
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if kind == "strong":
        view = _jitter(view, rng)
    if is_native:
        return preprocess(view)
    return np.ascontiguousarray(np.asarray(view, dtype=np.uint8).transpose(2, 0, 1))


def _random_box(
    width: int, height: int, least_area: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a box of a share of the area; one that is too wide or tall is cut to the image."""
    area = width * height * rng.uniform(least_area, 1.0)
    ratio = math.exp(rng.uniform(-_LOG_RATIO, _LOG_RATIO))
    box_width = min(float(width), math.sqrt(area * ratio))
    box_height = min(float(height), math.sqrt(area / ratio))
    left = rng.uniform(0.0, width - box_width) if box_width < width else 0.0
    top = rng.uniform(0.0, height - box_height) if box_height < height else 0.0
    return left, top, left + box_width, top + box_height


def _jitter(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for position in rng.permutation(len(enhancers)):
        view = enhancers[position](view).enhance(float(rng.uniform(1 - _JITTER, 1 + _JITTER)))
    return view
