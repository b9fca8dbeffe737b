"""Pictures as a page shows them: small JPEG files, made when asked for and kept for a while.

It knows images by their digest, and nothing about HTTP.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

from PIL import Image, ImageOps

from cliptune.errors import BadImageError
from cliptune.features.keys import content_digest
from cliptune.images import decode_image
from cliptune.workflows.label_project import LabelProject

__all__ = ["Thumbnails", "encode_jpeg"]

_KEPT_BYTES = 96 * 1024 * 1024
_QUALITY = 82


class Thumbnails:
    """Small pictures of a project's images, the latest 96 MiB of them kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, project: LabelProject, image: str, pixels: int) -> bytes:
        """Return an image as a JPEG file that fits into a square.

        Args:
            project: Where it is.
            image: Its digest.
            pixels: Of the square's side.

        Raises:
            BadImageError: There is no such image, or its file holds another one by now.
        """
        key = (image, pixels)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _make(project, image, pixels)
        with self._lock:
            self._kept[key] = made
            self._size += len(made)
            while self._size > _KEPT_BYTES:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made


def _make(project: LabelProject, image: str, pixels: int) -> bytes:
    row = project.row_of.get(image)
    if row is None:
        raise BadImageError(f"{image!r:.80} is no image here; reload the page")
    source = project.source.sources[row]
    data = source.read()
    if content_digest(data).hex() != image:
        raise BadImageError(f"{source.location!r} was changed since the page was opened")
    return encode_jpeg(decode_image(data, name=source.location, min_side=pixels), pixels)


def encode_jpeg(image: Image.Image, pixels: int) -> bytes:
    """Return a picture as a JPEG file that fits into a square of so many pixels."""
    picture = image.convert("RGB")
    if max(picture.size) > pixels:  # what is smaller is enlarged by the page
        picture = ImageOps.contain(picture, (pixels, pixels))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
