"""Small pictures: one file each for the points, and one sheet of tiles for a page.

It knows nothing about where pictures come from.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

__all__ = ["TILES_PER_SHEET", "Sheet", "make_sheets", "make_thumbnails"]

THUMBNAIL_PIXELS = 64
TILES_PER_SHEET = 4096
_SHEET_COLUMNS = 64
# Pixels of a tile on a page by the number of tiles: 20,000 fit into about 10 MB.
_TILE_PIXELS = ((4_000, 64), (20_000, 32))


@dataclass(frozen=True)
class Sheet:
    """Square tiles in rows, the first at the upper left.

    Attributes:
        data: The sheet as a WebP file.
        tile: Pixels of a tile's side.
        columns: Tiles in a row.
        n: Number of tiles.
    """

    data: bytes
    tile: int
    columns: int
    n: int


def make_thumbnails(images: Iterable[Image.Image]) -> tuple[bytes, ...]:
    """Crop each picture to its central square of 64 pixels, as a JPEG file each."""
    thumbnails = []
    for image in images:
        square = ImageOps.fit(image.convert("RGB"), (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        buffer = io.BytesIO()
        square.save(buffer, "JPEG", quality=85)
        thumbnails.append(buffer.getvalue())
    return tuple(thumbnails)


def make_sheets(thumbnails: Sequence[bytes]) -> list[Sheet]:
    """Lay thumbnails out on sheets of at most 4,096 tiles.

    A file of its own would spend more bytes on its header than on a picture this small.
    """
    tile = next((px for limit, px in _TILE_PIXELS if len(thumbnails) <= limit), 32)
    return [
        _make_sheet(thumbnails[start : start + TILES_PER_SHEET], tile)
        for start in range(0, len(thumbnails), TILES_PER_SHEET)
    ]


def _make_sheet(thumbnails: Sequence[bytes], tile: int) -> Sheet:
    columns = min(_SHEET_COLUMNS, len(thumbnails))
    rows = math.ceil(len(thumbnails) / columns)
    sheet = Image.new("RGB", (columns * tile, rows * tile))
    for index, data in enumerate(thumbnails):
        with Image.open(io.BytesIO(data)) as picture:
            shrunk = picture if picture.width == tile else picture.resize((tile, tile))
            sheet.paste(shrunk, ((index % columns) * tile, (index // columns) * tile))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=60, method=4)
    return Sheet(buffer.getvalue(), tile, columns, len(thumbnails))
