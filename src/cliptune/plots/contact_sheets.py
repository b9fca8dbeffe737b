"""Contact sheets: many small pictures with a caption each, as one image.

It knows nothing about data sets or models; it is handed pictures and words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from cliptune.system.escaping import for_picture

__all__ = ["render_contact_sheet"]

_TILE = 160
_LINE_HEIGHT = 15
_MARGIN = 8


def render_contact_sheet(
    images: Sequence[Image.Image], captions: Sequence[Sequence[str]], *, columns: int = 6
) -> Image.Image:
    """Lay pictures out in a grid with their captions below.

    Args:
        images: Pictures of any size; each is fitted into a square tile, its aspect kept.
        captions: Lines of text for each picture; lines wider than a tile are cut.
        columns: Pictures in a row.

    Returns:
        An RGB image on white.
    """
    columns = max(1, min(columns, len(images)))
    lines = max((len(caption) for caption in captions), default=0)
    cell = (_TILE + 2 * _MARGIN, _TILE + lines * _LINE_HEIGHT + 2 * _MARGIN)
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * cell[0], max(1, rows) * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = (index % columns) * cell[0] + _MARGIN, (index // columns) * cell[1] + _MARGIN
        tile = _fit(image)
        offset = ((_TILE - tile.width) // 2, (_TILE - tile.height) // 2)
        sheet.paste(tile, (left + offset[0], top + offset[1]))
        for line, text in enumerate(caption):
            place = (left, top + _TILE + line * _LINE_HEIGHT)
            draw.text(place, _cut(for_picture(text), font), fill="black", font=font)
    return sheet


def _fit(image: Image.Image) -> Image.Image:
    scale = _TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Nearest-neighbour shows a thumbnail's own pixels; larger pictures are averaged down.
    resampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return image.resize(size, resampling)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while len(text) > 1 and font.getlength(text) > _TILE:
        text = text[:-2].rstrip() + "…"
    return text
