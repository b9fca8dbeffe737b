"""From a saved map to its figures: SVG and PNG for papers, HTML for looking around.

It knows nothing about vectors and recomputes nothing.
"""

from __future__ import annotations

from pathlib import Path

from cliptune.modality_gap.page import load_plotly_script, save_page
from cliptune.modality_gap.plots import plot_map, plot_shift
from cliptune.modality_gap.result import ModalityMap
from cliptune.plots.figures import save_figure

__all__ = ["render_map"]


def render_map(result: ModalityMap, out: Path) -> dict[str, Path]:
    """Draw ``map.svg``, ``map.png`` and ``map.html``, and the shift curve where there is one.

    Args:
        result: What ``build_map`` made or ``load_map`` read.
        out: The directory.

    Returns:
        Paths as ``svg``, ``png``, ``html``, and ``shift_svg``, ``shift_png``.

    Raises:
        MissingExtraError: plotly is not installed.
        UnavailableError: The place cannot be written to.
    """
    load_plotly_script()  # what is missing is said before anything is drawn
    paths = save_figure(plot_map(result), out / "map")
    views, shift_figure = result.numbers["views"], None
    if all(view["shift"] is not None for view in views):
        shift = save_figure(plot_shift(views), out / "shift")
        paths |= {f"shift_{kind}": path for kind, path in shift.items()}
        shift_figure = shift["svg"]
    return {**paths, "html": save_page(result, out / "map.html", shift_figure=shift_figure)}
