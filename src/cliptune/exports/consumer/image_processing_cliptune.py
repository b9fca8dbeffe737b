"""The input transform of a fitted classifier for transformers: the one that it was fitted with.

It needs numpy, Pillow and transformers, but not cliptune.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_transforms import to_pil_image
from transformers.image_utils import make_flat_list_of_images

SIDE_KEPT = 0.875  # of a picture, in each of several cuts
THIN = 256  # a scaled picture of so many times the crop's area is not made whole


class CliptuneImageProcessor(BaseImageProcessor):  # type: ignore[misc]  # transformers has no types
    """Scales with Pillow, crops or pads, and normalises.

    Args:
        size: Height and width of what the tower sees.
        resize_mode: ``shortest``, ``longest`` or ``squash``, as open_clip calls them.
        resample: Pillow's number of the filter.
        crop_fraction: Share of the scaled picture's shorter side that ``shortest`` keeps.
        fill: Value of the padding of ``longest``, 0..255.
        crops: How many crops the model averages; their cuts come out one below the other, and the
            model adds mirror images.
        image_mean: Of the channels, for values in [0, 1].
        image_std: Likewise.
    """

    model_input_names = ("pixel_values",)

    def __init__(
        self,
        size: dict[str, int] | None = None,
        resize_mode: str = "shortest",
        resample: int = 3,
        crop_fraction: float = 1.0,
        fill: int = 0,
        crops: int = 1,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size = size or {"height": 224, "width": 224}
        self.resize_mode, self.resample = resize_mode, resample
        self.crop_fraction, self.fill, self.crops = crop_fraction, fill, crops
        self.image_mean = image_mean or [0.0, 0.0, 0.0]
        self.image_std = image_std or [1.0, 1.0, 1.0]

    def preprocess(self, images: Any, return_tensors: str | None = None, **_: Any) -> BatchFeature:
        """Turn pictures of any size and kind into ``pixel_values`` (B, 3, H, W), float32."""
        pictures = [upright_rgb(one) for one in make_flat_list_of_images(images)]
        mean, std = (
            np.array(v, np.float32).reshape(3, 1, 1) for v in (self.image_mean, self.image_std)
        )
        levels = (self.levels(one).astype(np.float32) for one in pictures)
        pixels = np.stack([(one / 255.0 - mean) / std for one in levels])
        return BatchFeature({"pixel_values": pixels}, tensor_type=return_tensors)

    def levels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Scale and crop a picture, or each cut of it: uint8 (3, H, W)."""
        cuts = cut_out(picture) if self.crops >= 6 else [picture]
        scaled = np.concatenate([np.asarray(self.scale(one), np.uint8) for one in cuts])
        return scaled.transpose(2, 0, 1)

    def scale(self, picture: Image.Image) -> Image.Image:
        """Scale and crop one cut."""
        height, width = self.size["height"], self.size["width"]
        if self.resize_mode == "squash":
            return picture.resize((width, height), self.resample)
        if self.resize_mode == "longest":
            ratio = max(picture.height / height, picture.width / width)
            fitted = picture.resize(scale_down(picture, ratio), self.resample)
            canvas = Image.new("RGB", (width, height), (self.fill,) * 3)
            canvas.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
            return canvas
        whole = covering(picture, *(int(v / self.crop_fraction + 1e-6) for v in (height, width)))
        left, top = round((whole[0] - width) / 2), round((whole[1] - height) / 2)
        box = (left, top, left + width, top + height)
        if whole[0] * whole[1] <= THIN * height * width:
            resized = picture if whole == picture.size else picture.resize(whole, self.resample)
            return resized.crop(box)
        x, y = picture.width / whole[0], picture.height / whole[1]
        part = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        return picture.resize((width, height), self.resample, box=part)


def upright_rgb(image: Any) -> Image.Image:
    """Return any kind of picture as RGB: upright, on white."""
    picture = image if isinstance(image, Image.Image) else to_pil_image(image)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # grey of more than 8 bits
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def covering(picture: Image.Image, height: int, width: int) -> tuple[int, int]:
    """Return the width and height of a picture that just covers a size."""
    if height != width:
        return scale_down(picture, min(picture.height / height, picture.width / width))
    if picture.width <= picture.height:
        return width, int(width * picture.height / picture.width)
    return int(height * picture.width / picture.height), height


def scale_down(picture: Image.Image, ratio: float) -> tuple[int, int]:
    """Return width and height, divided by a ratio."""
    return max(1, round(picture.width / ratio)), max(1, round(picture.height / ratio))


def cut_out(picture: Image.Image) -> list[Image.Image]:
    """Return a picture, its centre and its corners: upper left and right, lower left and right."""
    w, h = (max(1, round(SIDE_KEPT * side)) for side in picture.size)
    right, low = picture.width - w, picture.height - h
    places = [(right // 2, low // 2), (0, 0), (right, 0), (0, low), (right, low)]
    return [picture, *(picture.crop((x, y, x + w, y + h)) for x, y in places)]
