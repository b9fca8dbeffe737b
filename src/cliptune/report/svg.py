"""SVG files as parts of a page: own names, colours that follow light and dark, pictures within.

It knows nothing about what is drawn.
"""

from __future__ import annotations

import base64
import io
import re
from html import escape
from pathlib import Path

from PIL import Image

from cliptune.atomic import atomic_path
from cliptune.errors import RunError

__all__ = ["inline_svg", "save_picture"]

_PROLOG = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'^(<svg[^>]*?) width="[^"]*"([^>]*?)>', re.DOTALL)
_HEIGHT = re.compile(r'^(<svg[^>]*?) height="[^"]*"', re.DOTALL)
_NAMES = (
    re.compile(r'(\bid=")([^"]+")'),
    re.compile(r'(href="#)([^"]+")'),
    re.compile(r"(url\(#)([^)]+\))"),
)
# Colours of the charts that stand for parts of the page; in a file of its own they stay as they
# are, on a page they follow its scheme.
_ROLES = {"#1b1d1f": "ink", "#5c6268": "faint", "#d5d9dd": "line", "#0072b2": "blue",
          "#ffffff": "ground"}  # fmt: skip
_QUALITY = 85


def inline_svg(path: Path, *, prefix: str, alt: str, recolour: bool = True) -> str:
    """Return an SVG file as an element of a page.

    Args:
        path: The file.
        prefix: Put before every name in it, so that figures do not take each other's parts.
        alt: What it shows.
        recolour: Let its colours follow the page's scheme; without it, it needs white paper.

    Raises:
        RunError: The file is missing or no SVG.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read the figure {str(path)!r} ({error}); run again") from error
    if "<svg" not in text:
        raise RunError(f"{str(path)!r} is no SVG; run again to draw it anew")
    text = _METADATA.sub("", _PROLOG.sub("", text, count=1))
    text = _HEIGHT.sub(r"\1", _SIZE.sub(r"\1\2>", text, count=1), count=1)
    for pattern in _NAMES:
        text = pattern.sub(rf"\g<1>{prefix}-\g<2>", text)
    for colour, role in _ROLES.items() if recolour else ():
        text = text.replace(colour, f"var(--{role}, {colour})")
    label = f'<svg role="img" aria-label="{escape(alt, quote=True)}"'
    return text.replace("<svg", label, 1)


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture of pixels as an SVG that holds it."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    width, height = image.size
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><image width="{width}" height="{height}" '
        f'href="data:image/jpeg;base64,{data}"/></svg>\n'
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
