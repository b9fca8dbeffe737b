"""The interactive map: one HTML file that holds everything and asks the network for nothing.

It knows nothing about vectors or models; it shows what a ``ModalityMap`` holds. Points travel as
base64 of 32-bit numbers and pictures as tiles of a few sheets, so that 20,000 images fit.
"""

from __future__ import annotations

import base64
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import MissingExtraError
from cliptune.modality_gap.geometry import axis_names, data_extent, describe_projection, link_ends
from cliptune.modality_gap.palette import (
    CLASS_COLOURS,
    IMAGE_COLOUR,
    IMAGE_COLOUR_ON_DARK,
    TEXT_COLOUR,
    colour_numbers,
)
from cliptune.modality_gap.result import DrawnView, ModalityMap
from cliptune.modality_gap.tables import numbers_html
from cliptune.modality_gap.thumbnails import TILES_PER_SHEET, make_sheets
from cliptune.system.atomic import atomic_path
from cliptune.system.escaping import for_html
from cliptune.system.formatting import change, change_interval

__all__ = ["load_plotly_script", "page_html", "save_page"]

_WRONG_COLOUR = CLASS_COLOURS[1]
_HINT = "Point at a mark to see it; drag to move, scroll to zoom, double-click to go back."
Json = dict[str, Any]  # Any: plain JSON values


def save_page(result: ModalityMap, path: Path, *, shift_figure: Path | None = None) -> Path:
    """Write the page.

    Args:
        result: What to show.
        path: Where.
        shift_figure: An SVG file of the shift curve to show below the numbers.

    Raises:
        MissingExtraError: plotly is not installed.
        UnavailableError: The place cannot be written to.
    """
    html = page_html(result, shift_svg=None if shift_figure is None else shift_figure.read_bytes())
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def page_html(result: ModalityMap, *, shift_svg: bytes | None = None) -> str:
    """Return the page as text; see ``save_page``."""
    numbers = numbers_html(result.numbers)
    if shift_svg is not None:
        numbers += _shift_html(result, shift_svg)
    # "<" cannot end the element early when it is written as its escape.
    payload = json.dumps(_payload(result), ensure_ascii=False, allow_nan=False)
    parts = {
        "TITLE": for_html(f"Images and texts of {result.numbers['data']}"),
        "SUMMARY": for_html(f"{describe_projection(result)}. {_HINT}"),
        "STYLE": _asset("page.css"),
        "NUMBERS": numbers,
        "DATA": payload.replace("<", "\\u003c"),
        "PLOTLY": load_plotly_script(),
        "SCRIPT": _asset("map.js") + _asset("controls.js"),
    }
    # One pass over the template: what is put in is not looked at again.
    return re.sub("@@([A-Z]+)@@", lambda found: parts[found[1]], _asset("page.html"))


def load_plotly_script() -> str:
    """Return the source of plotly.js.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtraError("map", "the interactive map") from error
    script: str = get_plotlyjs()
    return script


def _asset(name: str) -> str:
    return files("cliptune.modality_gap").joinpath("assets", name).read_text(encoding="utf-8")


def _shift_html(result: ModalityMap, svg: bytes) -> str:
    sentences = []
    for view in result.numbers["views"]:
        closed = view["shift"]["closed"]
        ends = change_interval(closed["low"], closed["high"])
        sentences.append(
            f"{view['name']}: closing the gap changes the share of images that find their text by "
            f"{change(closed['difference'])} points (95 % interval {ends}, n = {closed['n']})."
        )
    return (
        "<h2>Moving the gap</h2><p class='verdict'>Images are moved against the gap vector and "
        f"texts along it (arXiv:2203.02053). {for_html(' '.join(sentences))}</p>"
        f"<img class='figure' alt='Scores over the distance of the centroids' "
        f"src='data:image/svg+xml;base64,{_base64(svg)}'>"
    )


def _payload(result: ModalityMap) -> Json:
    strings = _StringTable()
    linked = np.isin(result.text_groups, result.image_groups)
    return {
        "kind": result.numbers["kind"],
        "views": [
            _view_payload(result, view, numbers, strings)
            for view, numbers in zip(result.views, result.numbers["views"], strict=True)
        ],
        "imageGroups": _integers(result.image_groups),
        "textGroups": _integers(result.text_groups),
        "linkGroups": _integers(result.text_groups[linked]),
        "labels": [strings.number(label) for label in result.labels],
        "strings": strings.texts,
        "texts": list(result.texts),
        "ids": list(result.image_ids),
        "groupNames": [] if result.has_captions else _group_names(result),
        "groupColours": [] if result.has_captions else _group_colours(result),
        "palette": list(CLASS_COLOURS),
        "imageColours": [IMAGE_COLOUR, IMAGE_COLOUR_ON_DARK],
        "textColour": TEXT_COLOUR,
        "wrongColour": _WRONG_COLOUR,
        "ranges": np.stack(data_extent(result), axis=1).tolist(),
        "perSheet": TILES_PER_SHEET,
        "sheets": [
            {"data": _base64(s.data), "tile": s.tile, "columns": s.columns}
            for s in make_sheets(result.thumbnails)
        ],
    }


class _StringTable:
    """Texts that occur often, each kept once; -1 stands for none."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int:
        if text is None:
            return -1
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


def _view_payload(
    result: ModalityMap, view: DrawnView, numbers: Json, strings: _StringTable
) -> Json:
    return {
        "name": view.name,
        "axes": axis_names(numbers, result.numbers["projection"]["method"]),
        "images": _floats(view.image_places),
        "texts": _floats(view.text_places),
        "links": _floats(link_ends(result, view)),
        "predicted": [strings.number(name) for name in view.predicted],
        "correct": _base64(view.correct.astype("i1").tobytes()),
    }


def _group_names(result: ModalityMap) -> list[str]:
    """Name each class by its first text; a class without one by what its images are called."""
    names = [""] * (int(max(result.image_groups.max(), result.text_groups.max())) + 1)
    for group, label in zip(result.image_groups.tolist(), result.labels, strict=True):
        if label is not None:
            names[group] = label
    for group, text in zip(result.text_groups.tolist(), result.texts, strict=True):
        names[group] = names[group] or text
    return names


def _group_colours(result: ModalityMap) -> list[int]:
    numbers = np.zeros(len(_group_names(result)), dtype=np.int64)
    numbers[result.text_groups] = colour_numbers(result.views[0].text_places)
    colours: list[int] = numbers.tolist()
    return colours


def _floats(values: NDArray[np.float32]) -> str:
    return _base64(np.ascontiguousarray(values, dtype="<f4").tobytes())


def _integers(values: NDArray[np.int64]) -> str:
    return _base64(values.astype("<i4").tobytes())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
