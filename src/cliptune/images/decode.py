"""From a file's bytes to an upright RGB picture.

It knows nothing about tables or models, and neither reads nor changes Pillow's global settings.
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from cliptune.errors import BadImageError
from cliptune.images.grey import WIDE_MODES, wide_grey_to_rgb
from cliptune.images.png_chunks import without_large_texts

__all__ = [
    "MAX_PIXELS",
    "bad_image",
    "check_image",
    "decode_image",
    "decode_levels",
    "is_stored_whole",
    "open_header",
    "reason_of",
]

_log = logging.getLogger(__name__)

# Pillow's own hard limit: half a gigabyte of RGB.
MAX_PIXELS = 178_956_970

# Formats that decode inside the process: EPS and WMF are absent because Pillow hands them to
# Ghostscript and Windows. TGA stands last because it has no magic number.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"),
    *("ICO", "ICNS", "DIB", "DDS", "QOI", "SGI", "PCX", "TGA"),
)

# What Pillow's plugins raise on bytes that are not what they promised.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# What an image's EXIF orientation, from 1 to 8, asks for; 1 asks for nothing.
_UPRIGHT = (
    *(None, None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180),
    *(Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270),
    *(Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90),
)

_OTHER_FORMATS = {
    b"ftyphei": "HEIC",
    b"ftyphev": "HEIC",
    b"ftypmif1": "HEIF",
    b"\xff\x0a": "JPEG XL",
    b"JXL ": "JPEG XL",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"<!DOCTYPE html": "a web page",
    b"<html": "a web page",
}


def decode_image(
    data: bytes, *, name: str, max_pixels: int = MAX_PIXELS, min_side: int | None = None
) -> Image.Image:
    """Decode one image.

    Orientation from EXIF is applied; EXIF that cannot be read costs the orientation, with a
    warning, and not the picture. Transparency is laid on white, the first frame or page stands
    for animations and documents, grey of more than 8 bits is scaled as ``grey`` says.

    Args:
        data: The bytes of the file.
        name: What to call it in messages.
        max_pixels: Refuse more, judged by the header before anything is decoded.
        min_side: Pixels that the shorter side must keep: a JPEG of at least twice as many is
            decoded at a half, a quarter or an eighth of its size, which takes less time.

    Returns:
        A picture of mode RGB.

    Raises:
        BadImageError: It is empty, no image, truncated, corrupt, or too large.
    """
    image = open_header(data, name=name, max_pixels=max_pixels)
    if min_side is not None and image.format == "JPEG":
        image.draft(None, (min_side, min_side))  # mode unchanged; both sides stay at least so
    return _finish(image, name)


def decode_levels(
    data: bytes, *, name: str, max_pixels: int = MAX_PIXELS, min_side: int | None = None
) -> NDArray[np.uint8]:
    """Decode one image into an array: the pixels of ``decode_image``, from the same arguments.

    A colour JPEG that stands upright goes through simplejpeg where that is installed, which takes
    less time than Pillow and has no copy to make. What it does not like is left to Pillow.

    Returns:
        uint8, shape (H, W, 3), in memory of its own.

    Raises:
        BadImageError: As ``decode_image`` does.
    """
    image = open_header(data, name=name, max_pixels=max_pixels)
    if is_stored_whole(image, name=name, min_side=min_side):
        levels = _decode_quickly(data)
        if levels is not None:
            return levels
    return np.array(_finish(image, name), np.uint8)


def is_stored_whole(image: ImageFile.ImageFile, *, name: str, min_side: int | None) -> bool:
    """Say whether an image is a colour JPEG whose stored pixels are the picture.

    It stands upright and is to be decoded whole; otherwise the image is set to the reduced scale
    that ``min_side`` allows. Arguments are as for ``decode_image``.
    """
    if image.format != "JPEG":
        return False
    size = image.size
    if min_side is not None:
        image.draft(None, (min_side, min_side))
    return image.size == size and image.mode == "RGB" and _turn_of(image, name) is None


def _decode_quickly(data: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG with simplejpeg; None where it is missing, or complains of anything."""
    decode = _simplejpeg()
    try:
        return None if decode is None else decode(data, strict=True)
    except (ValueError, MemoryError):
        return None


@cache
def _simplejpeg() -> Callable[..., NDArray[np.uint8]] | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    decode: Callable[..., NDArray[np.uint8]] = simplejpeg.decode_jpeg
    return decode


def check_image(data: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Make sure that ``decode_image`` would succeed.

    A JPEG is decoded at an eighth of its size: every byte is still read, in little more than
    half the time.

    Raises:
        BadImageError: As ``decode_image`` does.
    """
    image = open_header(data, name=name, max_pixels=max_pixels)
    if image.format == "JPEG":
        image.draft(None, (image.width // 8, image.height // 8))
    _finish(image, name)


def _finish(image: ImageFile.ImageFile, name: str) -> Image.Image:
    try:
        image.load()
        turn = _turn_of(image, name)
        upright = _to_rgb(image)
        return upright if turn is None else upright.transpose(turn)
    except _DECODER_ERRORS as error:
        raise bad_image(name, _describe(error)) from error


def bad_image(name: str, reason: str) -> BadImageError:
    """Make the error that says which image cannot be read and why."""
    return BadImageError(f"cannot read {name!r}: {reason}")


def reason_of(error: BadImageError, name: str) -> str:
    """Return the reason alone from an error that ``bad_image`` made for ``name``."""
    return str(error).removeprefix(f"cannot read {name!r}: ")


def open_header(data: bytes, *, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Identify an image and judge its size without decoding it; see ``decode_image``.

    Raises:
        BadImageError: It is empty, no image or too large, or its header is broken.
    """
    if not data:
        raise bad_image(name, "the file is empty")
    data, n_dropped = without_large_texts(data)
    if n_dropped:
        _log.info(
            "%s: %d texts or profiles that unpack to megabytes were left out", name, n_dropped
        )
    try:
        image = _identify(data)
    except _DECODER_ERRORS as error:
        raise bad_image(name, _describe(error)) from error
    if image is None:
        raise bad_image(name, _describe_unknown(data))
    if image.width * image.height > max_pixels:
        raise bad_image(
            name,
            f"{image.width} x {image.height} pixels are more than the limit of {max_pixels}",
        )
    return image


def _identify(data: bytes) -> ImageFile.ImageFile | None:
    """Do what ``Image.open`` does, without its check against a process-wide pixel limit.

    That check warns below our limit, and silencing a warning is not safe between threads.
    """
    prefix = data[:16]
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for name in _FORMATS:
            factory, accept = Image.OPEN.get(name, (None, None))
            if factory is None or (accept is not None and accept(prefix) is not True):
                continue
            try:
                return factory(io.BytesIO(data), "")
            except (SyntaxError, LookupError, TypeError, struct.error):
                continue
    return None


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"corrupt or truncated ({text or type(error).__name__})"


def _describe_unknown(data: bytes) -> str:
    if not data.strip(b"\0"):
        return "not an image (all bytes are zero)"
    for mark, kind in _OTHER_FORMATS.items():
        if mark in data[:64]:
            return f"{kind} is not among the image formats read here; convert it to PNG or JPEG"
    return "not an image of a known format, or its header is broken"


def _turn_of(image: Image.Image, name: str) -> Image.Transpose | None:
    """Read what brings the picture upright; a broken EXIF block says nothing about pixels."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _DECODER_ERRORS as error:
        _log.warning("%s: its EXIF block cannot be read (%s); it stays as stored", name, error)
        return None
    return _UPRIGHT[orientation] if 0 < orientation < len(_UPRIGHT) else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in WIDE_MODES:
        return wide_grey_to_rgb(image)
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if image.has_transparency_data:
        # Pillow brings grey with its alpha multiplied in to no mode but this one.
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None, "only in-place conversion returns nothing"
    return converted
