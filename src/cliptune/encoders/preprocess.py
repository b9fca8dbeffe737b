"""From a decoded picture to the pixels that a model was trained on.

It knows nothing about files or models: a ``Preprocess`` is some constants and one function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders.native_patches import pack_patches
from cliptune.encoders.picture_crops import CROPS, SIDE_KEPT, cut_out, cuts_of
from cliptune.encoders.torch_resize import expect_pictures, resize_as_torch
from cliptune.system.typed import require_types

__all__ = ["Preprocess"]

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
# Told where they are not the usual.
_LATER_FIELDS = ("resampler", "crop_rounding", "patch_size", "crops")
Fit = tuple[tuple[int, int], tuple[int, int]]
_THIN = 256  # a resized picture of so many times the crop's area is not made whole


@dataclass(frozen=True)
class Preprocess:
    """A model's input transform: resize, crop, and the constants of its normalisation.

    Calling it gives unnormalised bytes, a quarter of the memory of floats; the encoder
    subtracts ``mean`` and divides by ``std`` itself.

    Attributes:
        size: Height and width in pixels of what the model sees.
        resize_mode: ``shortest`` scales the shorter side to ``size`` and crops the centre,
            ``longest`` fits the whole image and pads with ``fill``, ``squash`` ignores the
            aspect ratio. The names are open_clip's. ``native`` keeps the aspect ratio and gives
            as many patches as fit.
        interpolation: ``bicubic`` or ``bilinear``.
        mean: Channel means, for values in [0, 1].
        std: Channel standard deviations, for values in [0, 1].
        fill: Value in 0..255 of the padding of ``longest``.
        crop_fraction: Share of the resized image's shorter side that the crop of ``shortest``
            keeps, as timm's ``crop_pct``: 0.875 resizes to 256 pixels and crops 224.
        resampler: ``pillow`` as in open_clip, or ``torch`` as in transformers, whose rounding
            moves one value in 300 by one.
        crop_rounding: Where an odd number of pixels is cut off: half of it to the ``nearest``
            even number, or ``down`` as in transformers.
        patch_size: Side in pixels of a patch for ``native``; what comes out is then patches, as
            ``native_patches`` packs them, and ``size`` is that of the packing.
        crops: How many crops of a picture the model sees; see ``picture_crops``. Its cuts come
            out one below the other; the encoder adds mirror images and averages.
    """

    size: tuple[int, int] = (224, 224)
    resize_mode: Literal["shortest", "longest", "squash", "native"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    fill: int = 0
    crop_fraction: float = 1.0
    resampler: Literal["pillow", "torch"] = "pillow"
    crop_rounding: Literal["nearest", "down"] = "nearest"
    patch_size: int = 0
    crops: int = 1

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one RGB image.

        Returns:
            uint8, ``shape``, values 0..255, contiguous. Equal to open_clip's evaluation
            transform before normalisation, with ``torch`` to that of transformers.
        """
        if self.resize_mode == "native":
            return pack_patches(image, self.max_patches, self.patch_size)
        if cuts_of(self.crops) > 1:
            return np.concatenate([self._prepare(crop) for crop in cut_out(image)], axis=1)
        return self._prepare(image)

    def quickly(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Resize and crop one picture with torch's kernel for bytes, whatever ``resampler`` says.

        It takes a quarter of Pillow's time, and gives other bytes for one value in 300: one apart
        or, seldom, two.

        Args:
            levels: RGB, shape (H, W, 3).

        Returns:
            As a call gives; None where only a call will do: for padding, patches and cuts, and
            for a picture so thin that it is not made whole.
        """
        if self.quick_fit(levels.shape[:2]) is None:
            return None
        return self._resize_as_torch(levels)

    def quick_fit(self, given: tuple[int, ...]) -> Fit | None:
        """Say how ``quickly`` resizes and crops a picture of a height and width.

        Returns:
            Height and width to resize to, and the top left corner of the crop of ``size``; None
            where only a call will do.
        """
        if cuts_of(self.crops) > 1:
            return None
        if self.resize_mode == "squash":
            return self._fit(given) if self.crop_fraction == 1 else None
        fit, (height, width) = self._fit(given), self.size
        is_thin = fit[0][0] * fit[0][1] > _THIN * height * width
        return None if self.resize_mode != "shortest" or is_thin else fit

    @property
    def is_quick(self) -> bool:
        """Whether ``quickly`` prepares pictures, but for thin ones."""
        return self.quick_fit(self.size) is not None

    def expect(self, n: int) -> None:
        """Get ready for so many pictures, where something has to be loaded that pays for many."""
        if self.resampler == "torch":
            expect_pictures(n)

    def _prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one picture, or one cut of it."""
        if self.resampler == "torch":
            return self._resize_as_torch(np.asarray(image, np.uint8))
        resized = self._resize(image)
        return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what comes out: three channels, the height of all cuts, the width."""
        height, width = self.size
        return 3, cuts_of(self.crops) * height, width

    @property
    def max_patches(self) -> int:
        """Patches of a picture at most, for ``native``."""
        return self.size[0] - 1

    @property
    def side(self) -> int:
        """Pixels of the shorter side of what the model sees, or of a square of all patches."""
        if self.resize_mode == "native":
            return int(self.max_patches**0.5) * self.patch_size
        return min(self.size)

    @property
    def min_side(self) -> int:
        """Pixels of a picture's shorter side that are enough to give the same result, nearly.

        Four times what the resized picture has: measured on photographs, decoding a JPEG at a
        reduced scale down to this moves pixels by less than 1/255 on average and embeddings of
        ``lite`` by a cosine of 0.0002; down to three times it was 0.0006.
        """
        longest = self.side if self.resize_mode == "native" else max(self.size)
        kept = self.crop_fraction * (SIDE_KEPT if cuts_of(self.crops) > 1 else 1.0)
        return 4 * int(longest / kept)

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map bytes (B, 3, H, W) to the normalised float32 of the same shape."""
        mean = np.asarray(self.mean, np.float32).reshape(1, 3, 1, 1)
        std = np.asarray(self.std, np.float32).reshape(1, 3, 1, 1)
        normalised: NDArray[np.float32] = (pixels.astype(np.float32) / 255.0 - mean) / std
        return normalised

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values.

        Fields that came later are told where they differ from what was usual before: what is
        kept by these values stays valid.
        """
        usual = {name: type(self).__dataclass_fields__[name].default for name in _LATER_FIELDS}
        return {k: v for k, v in asdict(self).items() if k not in usual or v != usual[k]}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what ``to_dict`` gave, after JSON.

        Raises:
            TypeError: A field is missing, unknown or of another type.
            ValueError: A number would give no pixels.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"preprocess is {values!r:.60}; expected an object")
        # Any: plain JSON values
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        found = cls(**fields)
        require_types(found, cls, "preprocess")
        is_right = min(found.size) > 0 and min(found.std) > 0 and 0 <= found.fill <= 255
        is_native = found.resize_mode == "native"
        if is_native and not (0 < found.patch_size <= 256 and found.size[0] > 1):
            raise ValueError("preprocess names patches and no size of them")
        if found.crops not in ((1,) if is_native else CROPS):
            raise ValueError(f"preprocess has {found.crops} crops")
        if not is_right or not 0 < found.crop_fraction <= 1:
            raise ValueError(
                "preprocess has a size, std, fill or crop_fraction that is out of range"
            )
        return found

    def _resize(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        resampling = _RESAMPLING[self.interpolation]
        if self.resize_mode == "squash":
            return image.resize((width, height), resampling)
        if self.resize_mode == "shortest":
            return _resize_and_crop(image, self._cover(), (height, width), resampling)
        fitted = image.resize(
            _scale_down(image.size, max(image.height / height, image.width / width)), resampling
        )
        canvas = Image.new("RGB", (width, height), (self.fill,) * 3)
        canvas.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
        return canvas

    def _cover(self) -> tuple[int, int]:
        """Return height and width of what is cropped; the sum keeps 346 from being 345.99."""
        height, width = (int(side / self.crop_fraction + 1e-6) for side in self.size)
        return height, width

    def _resize_as_torch(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize with torch's own kernel for bytes, as transformers does, and crop."""
        cover, (top, left) = self._fit(levels.shape[:2])
        resized = resize_as_torch(levels, cover, self.interpolation)
        height, width = self.size
        return np.ascontiguousarray(resized[:, top : top + height, left : left + width])

    def _fit(self, given: tuple[int, ...]) -> Fit:
        """Say what ``quick_fit`` says, of any picture that is covered or squashed."""
        cover = self._cover()
        if self.resize_mode == "shortest":
            width, height = _covering_size((given[1], given[0]), cover)
            cover = (height, width)
        round_half = round if self.crop_rounding == "nearest" else int
        top, left = (round_half((a - b) / 2) for a, b in zip(cover, self.size, strict=True))
        return cover, (top, left)


def _resize_and_crop(
    image: Image.Image,
    cover: tuple[int, int],
    crop: tuple[int, int],
    resampling: Image.Resampling,
) -> Image.Image:
    """Scale to just cover a size and cut out the centre.

    What a thin picture would be scaled to may be thousands of times larger than what is cut out
    of it: of such a one only that part is scaled, which gives the same pixels but for the rounding
    between the two directions.
    """
    height, width = crop
    whole = _covering_size(image.size, cover)
    if whole[0] * whole[1] <= _THIN * height * width:
        resized = image if whole == image.size else image.resize(whole, resampling)
        return _center_crop(resized, height, width)
    left, top = round((whole[0] - width) / 2.0), round((whole[1] - height) / 2.0)
    x, y = image.width / whole[0], image.height / whole[1]
    box = (left * x, top * y, (left + width) * x, (top + height) * y)
    return image.resize((width, height), resampling, box=box)


def _covering_size(given: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height that just cover ``size``, with torchvision's truncation.

    Args:
        given: Width and height of the picture.
        size: Height and width to cover.
    """
    height, width = size
    if height != width:
        return _scale_down(given, min(given[1] / height, given[0] / width))
    if given[0] <= given[1]:
        return width, int(width * given[1] / given[0])
    return int(height * given[0] / given[1]), height


def _scale_down(given: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Divide by a ratio and round; multiplying by its inverse is a pixel off for some sizes."""
    return max(1, round(given[0] / ratio)), max(1, round(given[1] / ratio))


def _center_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    left = round((image.width - width) / 2.0)
    top = round((image.height - height) / 2.0)
    return image.crop((left, top, left + width, top + height))
