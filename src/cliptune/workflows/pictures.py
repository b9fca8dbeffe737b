"""Pictures of any kind as a table: paths, PIL images and arrays beside each other.

It knows nothing about models.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from cliptune.errors import InputError
from cliptune.images import ImageTable, Source, open_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pictures", "gather_pictures"]

Picture = "str | Path | Image.Image | NDArray[Any]"
Pictures = Any  # Any: a picture, a sequence of them, an array (N, H, W, 3) or an ImageTable

_ENCODABLE = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@dataclass(frozen=True, slots=True)
class _MemorySource:
    """A picture that is not in a file, as a file without loss.

    Attributes:
        id: What it is called.
        picture: Upright, of a mode that a file can hold.
    """

    id: str
    picture: Image.Image

    @property
    def location(self) -> str:
        """What messages call it."""
        return self.id

    def read(self) -> bytes:
        """Return it as PPM, which is quick, or as PNG where PPM would lose something."""
        picture, buffer = self.picture, io.BytesIO()
        if picture.mode in ("RGB", "L") and not picture.has_transparency_data:
            picture.save(buffer, format="PPM")
        else:
            picture.save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def gather_pictures(pictures: Pictures) -> ImageTable:
    """Put pictures into a table without labels.

    Args:
        pictures: A path, a PIL image, an array (H, W, 3) or (H, W) of uint8, or of floats from 0
            to 1; a sequence of these; an array (N, H, W, 3); or a table that is open already.

    Raises:
        InputError: There is none, or one is something else, or there is no such file.
    """
    if isinstance(pictures, ImageTable):
        return pictures
    sources = [source for place, one in enumerate(_each(pictures)) for source in _read(one, place)]
    if not sources:
        raise InputError("no image came; give files, folders, PIL images or arrays (H, W, 3)")
    return replace(
        _empty_table(len(sources)),
        sources=sources,
        root=sources[0].id if len(sources) == 1 else f"{len(sources)} images",
    )


def _empty_table(n: int) -> ImageTable:
    labels, splits = np.full(n, -1, dtype=np.int64), np.full(n, "", dtype=np.str_)
    return ImageTable([], labels, splits, class_names=(), root="")


def _each(pictures: Pictures) -> Iterator[object]:
    if isinstance(pictures, str | Path | Image.Image):
        yield pictures
    elif isinstance(pictures, np.ndarray):
        yield from (pictures if pictures.ndim == 4 else [pictures])
    elif isinstance(pictures, Sequence):
        for one in pictures:
            yield from _each(one) if isinstance(one, np.ndarray) else [one]
    else:
        raise InputError(
            f"{type(pictures).__name__} came for images; expected paths, PIL images, arrays "
            "(H, W, 3) or a list of these"
        )


def _read(picture: object, place: int) -> Sequence[Source]:
    if isinstance(picture, str | Path):
        return open_images([str(picture)]).sources
    name = f"image {place}"
    if isinstance(picture, Image.Image):
        return [_MemorySource(name, _savable(picture))]
    if isinstance(picture, np.ndarray):
        return [_MemorySource(name, _savable(_from_array(picture, name)))]
    raise InputError(
        f"{name} is {type(picture).__name__}; expected a path, a PIL image or an array (H, W, 3)"
    )


def _from_array(array: NDArray[Any], name: str) -> Image.Image:  # Any: whatever dtype came
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] != 3) or 0 in shape:
        raise InputError(f"{name} has shape {shape}; expected (H, W, 3), colours last, or (H, W)")
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name} is {array.dtype}; expected uint8, or floats from 0 to 1")
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise InputError(f"{name} holds floats outside of 0 to 1; scale them, or give uint8")
    return Image.fromarray(np.rint(array * 255).astype(np.uint8))


def _savable(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    return upright if upright.mode in _ENCODABLE else upright.convert("RGB")
