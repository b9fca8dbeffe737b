"""JPEGs that any decoder gives the same pixels of, but for rounding.

What is judged here is the header and the last two bytes; nothing is decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliptune.images.decode import MAX_PIXELS, is_stored_whole, open_header

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

__all__ = ["plain_jpeg_size"]

_END = b"\xff\xd9"  # stands nowhere inside of a scan
_SAMPLINGS = {(1, 1), (2, 1), (1, 2), (2, 2)}  # of brightness, beside colours of one each
_RED_GREEN_BLUE = tuple(b"RGB")


def plain_jpeg_size(
    data: bytes, *, name: str, max_pixels: int = MAX_PIXELS, min_side: int | None = None
) -> tuple[int, int] | None:
    """Return height and width of a JPEG that may be left to a decoder that knows only the usual.

    It is what ``decode_levels`` hands to its quick decoder, of 8 bits, stored as brightness and
    two colours in a usual sampling, and ends as a JPEG ends: one that was cut off does not.

    Args:
        data: The bytes of the file.
        name: What to call it in messages.
        max_pixels: Refuse more, judged by the header.
        min_side: As for ``decode_image``.

    Returns:
        None for every other image.

    Raises:
        BadImageError: It is empty, no image or too large, or its header is broken.
    """
    from PIL.JpegImagePlugin import JpegImageFile

    image = open_header(data, name=name, max_pixels=max_pixels)
    size = image.height, image.width
    if not is_stored_whole(image, name=name, min_side=min_side) or not data.endswith(_END):
        return None
    assert isinstance(image, JpegImageFile), "so says its format"
    return size if _is_usual(image) else None


def _is_usual(image: JpegImageFile) -> bool:
    names, across, down, _ = zip(*image.layer, strict=True)
    first, *others = zip(across, down, strict=True)
    return (
        image.bits == 8
        and names != _RED_GREEN_BLUE
        and image.info.get("adobe_transform", 1) == 1
        and first in _SAMPLINGS
        and others == [(1, 1), (1, 1)]
    )
