"""Reports: what a finished run or study left on disk, as one HTML file.

This package knows nothing about models or data: it reads JSON and figures and computes nothing.
``Section`` and its parts are what a study writes; ``render_report`` reads them back.
"""

from __future__ import annotations

from cliptune.report.document import Column, Document, Figure, Section, Table, Tile
from cliptune.report.render import render_report

__all__ = ["Column", "Document", "Figure", "Section", "Table", "Tile", "render_report"]
