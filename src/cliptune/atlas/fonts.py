"""Fonts for names in any script.

It knows nothing about figures.
"""

from __future__ import annotations

from functools import cache

__all__ = ["font_families"]

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

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _WANTED if name in installed]
