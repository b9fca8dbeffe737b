"""SVG files as parts of a page: made anew from what a chart needs, and from nothing else.

It knows nothing about what is drawn. A figure may come from a stranger's folder, so no byte of it
reaches the page as it stands: elements, attributes and styles of a list are written again, with
names of their own and colours that follow light and dark. Scripts, links, animations and whatever
else an SVG can hold are left out, and only pictures within the file are shown.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from cliptune.errors import RunError
from cliptune.system.atomic import atomic_path
from cliptune.system.escaping import for_html

__all__ = ["inline_svg", "save_picture"]

# Colours of the charts that stand for parts of the page; in a file of its own they stay as they
# are, on a page they follow its scheme.
_ROLES = {"#1b1d1f": "ink", "#5c6268": "faint", "#d5d9dd": "line", "#0072b2": "blue",
          "#ffffff": "ground"}  # fmt: skip
_QUALITY = 85
_LARGEST = 64 * 2**20  # bytes of a figure

_ELEMENTS = {
    "g", "defs", "clipPath", "path", "rect", "circle", "ellipse", "line", "polyline",
    "polygon", "text", "tspan", "use", "image",
}  # fmt: skip
_TEXTS = ("text", "tspan")
_NUMBERS = re.compile(r"[\w\s.,()+-]*", re.ASCII)  # lengths, paths, points, transformations
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_REFERENCE = re.compile(r"(#|url\(#)([\w.-]+)(\)?)", re.ASCII)
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]+")
_NUMERIC = {
    "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "d",
    "points", "transform", "viewBox",
}  # fmt: skip
_STYLES = {
    "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity",
    "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "stroke-dasharray",
    "stroke-dashoffset", "opacity", "font", "font-size", "font-family", "font-weight",
    "font-style", "font-stretch", "text-anchor",
}  # fmt: skip
_STYLE_VALUE = re.compile(r"[\w\s.,#%'\"+-]*|rgba?\([\d\s.,%]*\)", re.ASCII)


def inline_svg(path: Path, *, prefix: str, alt: str, recolour: bool = True) -> str:
    """Return what an SVG file draws as an element of a page.

    Args:
        path: The file.
        prefix: Put before every name in it, so that figures do not take each other's parts.
        alt: What it shows.
        recolour: Let its colours follow the page's scheme; without it, it needs white paper.

    Raises:
        RunError: The file is missing, too large, too deep or no SVG.
    """
    root = _parse(path)
    box = root.get("viewBox", "")
    view = f' viewBox="{for_html(box)}"' if box and _NUMBERS.fullmatch(box) else ""
    # matplotlib sets these for every element by a style sheet, which would reach the whole page.
    lines = "stroke-linejoin:round;stroke-linecap:butt"
    try:
        body = "".join(_write(child, prefix, recolour) for child in root)
    except RecursionError as error:
        raise RunError(f"{str(path)!r} is nested too deeply; run again to draw it anew") from error
    return f'<svg role="img" aria-label="{for_html(alt)}"{view} style="{lines}">{body}</svg>'


def _parse(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > _LARGEST:
            raise RunError(
                f"the figure {str(path)!r} has more than {_LARGEST >> 20} MiB; run again"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read the figure {str(path)!r} ({error}); run again") from error
    try:
        # Without the prolog there are no entities, neither those that grow nor those of elsewhere.
        start = text.index("<svg")
        root = ElementTree.fromstring(text[start:])
    except (ValueError, ElementTree.ParseError) as error:
        raise RunError(f"{str(path)!r} is no SVG; run again to draw it anew") from error
    if _local(root.tag) != "svg":
        raise RunError(f"{str(path)!r} is no SVG; run again to draw it anew")
    return root


def _write(element: ElementTree.Element, prefix: str, recolour: bool) -> str:
    """Write one element with what it holds, or nothing of it."""
    tag = _local(element.tag)
    if tag not in _ELEMENTS:
        return ""
    attributes = "".join(
        f' {name}="{for_html(value)}"'
        for key, given in element.attrib.items()
        if (value := _attribute(tag, name := _local(key), given, prefix, recolour)) is not None
    )
    parts = [for_html(element.text or "") if tag in _TEXTS else ""]
    for child in element:
        parts.append(_write(child, prefix, recolour))
        parts.append(for_html(child.tail or "") if tag in _TEXTS else "")
    return f"<{tag}{attributes}>{''.join(parts)}</{tag}>"


def _attribute(tag: str, name: str, value: str, prefix: str, recolour: bool) -> str | None:
    """Return an attribute's value as the page gets it, or None where it does not."""
    if name == "id":
        return f"{prefix}-{value}" if _NAME.fullmatch(value) else None
    if name == "style":
        return _style(value, recolour)
    if name in _NUMERIC:
        return value if _NUMBERS.fullmatch(value) else None
    if name == "href" and tag == "image":
        return value if _PICTURE.fullmatch(value) else None
    found = _REFERENCE.fullmatch(value)
    is_reference = (name, tag) == ("href", "use") or name == "clip-path"
    if found is None or not is_reference:
        return None
    return f"{found[1]}{prefix}-{found[2]}{found[3] or ''}"


def _style(value: str, recolour: bool) -> str:
    kept = []
    for declaration in value.split(";"):
        name, _, given = (part.strip() for part in declaration.partition(":"))
        if name in _STYLES and _STYLE_VALUE.fullmatch(given):
            role = _ROLES.get(given) if recolour else None
            kept.append(f"{name}: var(--{role}, {given})" if role else f"{name}: {given}")
    return "; ".join(kept)


def _local(name: object) -> str:
    """Return a name without its namespace; comments and the like have none."""
    return name.rpartition("}")[2] if isinstance(name, str) else ""


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
