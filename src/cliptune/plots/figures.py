"""Figures for papers and runs: a blank one, colours, fonts, and the same bytes as SVG and PNG.

It knows nothing about what is drawn.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from cliptune.system.atomic import atomic_path

__all__ = ["COLOURS", "DPI", "Figure", "font_families", "new_figure", "save_figure"]

Figure = Any  # Any: matplotlib's Figure, imported only where something is drawn

DPI = 200

# Colours that stay apart for colour-blind readers (Okabe and Ito, 2008), and two of ours.
COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c6bb1",
    "#7a6a4f",
)

# Where a glyph is not in the first, matplotlib looks in the next; those not installed are skipped.
_WANTED = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Micro Hei",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Arial Unicode MS",
)


@cache
def font_families() -> list[str]:
    """Return the installed ones of a list that covers most scripts, the usual one first."""
    from matplotlib.font_manager import fontManager

    _quiet_fonts()
    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _WANTED if name in installed]


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that belongs to no window and to no global state.

    Args:
        width: Inches.
        height: Inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    _quiet_fonts()
    figure = NewFigure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _quiet_fonts() -> None:
    """Keep to itself which font stands for one that lacks a weight or is not there."""
    logging.getLogger("matplotlib.font_manager").addFilter(_is_error)  # once, however often asked


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def save_figure(figure: Figure, stem: Path) -> dict[str, Path]:
    """Write ``stem.svg`` and ``stem.png``, the same bytes for the same figure.

    Returns:
        The paths, as ``svg`` and ``png``.
    """
    from matplotlib import rc_context

    engine = figure.get_layout_engine()
    if engine is not None:  # once for both files, which need the same places
        engine.execute(figure)
        figure.set_layout_engine("none")
    paths = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("svg", "png")}
    # The salt of SVG identifiers can only be set globally; it is put back at once.
    with rc_context({"svg.hashsalt": "cliptune"}):
        for kind, path in paths.items():
            with atomic_path(path) as temporary:
                metadata = {"Date": None} if kind == "svg" else {"Software": None}
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
    return paths
