"""From finished runs to one self-contained HTML file.

It reads what the runs hold and computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cliptune.errors import InputError, RunError
from cliptune.report.cells import format_cell, interval_of, is_numeric
from cliptune.report.document import Block, Document, Figure, Section, Table
from cliptune.report.read import STUDY_FILE, read_document
from cliptune.report.svg import inline_svg
from cliptune.system.atomic import atomic_path
from cliptune.system.escaping import for_terminal
from cliptune.system.inside import file_inside
from cliptune.system.places import require_writable

__all__ = ["render_document", "render_report"]

_NAME = "report.html"


@dataclass(frozen=True)
class _Part:
    """A document with where its files lie.

    Attributes:
        document: What is shown.
        folder: Its folder.
        prefix: Tells its names on the page from those of other documents.
        base: Put before its links, so that they hold from where the page lies.
    """

    document: Document
    folder: Path
    prefix: str
    base: str

    def draw(self, figure: Figure, number: str) -> str:
        """Return a figure as an element of the page."""
        prefix = f"{self.prefix}-{number}"
        path = file_inside(self.folder, figure.file)
        return inline_svg(path, prefix=prefix, alt=figure.alt, recolour=not figure.wide)

    def link(self, file: str) -> str:
        """Return where a link leads: to a file of the folder, or to an address of the web.

        Raises:
            RunError: It is neither; a page may not lead to a script or to other places here.
        """
        if file.startswith(("https://", "http://")):
            return file
        file_inside(self.folder, file)
        return self.base + quote(file)


def render_report(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Render finished runs or studies, one below the other, as one HTML file.

    The file asks for nothing from outside. Tables and figures link to their CSV and SVG in the
    run's folder.

    Args:
        runs: Their folders.
        out: The file; without it ``report.html`` in the first folder.

    Returns:
        The file.

    Raises:
        InputError: No run is named.
        RunError: A run is missing, unfinished, altered, or of a kind that has no report.
        UnavailableError: The place cannot be written to.
    """
    if not runs:
        raise InputError("no run came; name the folder of a finished run or study")
    folders = [Path(run) for run in runs]
    target = Path(out) if out is not None else folders[0] / _NAME
    if out is not None:
        require_writable(target.parent, "--out")
    parts = [
        _Part(read_document(folder), folder, f"r{number}", _base(folder, target))
        for number, folder in enumerate(folders)
    ]
    _write_page(parts, target)
    return target


def render_document(document: Document, target: Path) -> None:
    """Render one document whose files lie beside the page.

    Raises:
        UnavailableError: The place cannot be written to.
    """
    _write_page([_Part(document, target.parent, "r0", "")], target)


def _write_page(parts: Sequence[_Part], target: Path) -> None:
    page = _environment().get_template("report.html.j2").render(parts=parts)
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _base(folder: Path, target: Path) -> str:
    """Return the folder as seen from the page: empty where both are one."""
    here, there = target.resolve().parent, folder.resolve()
    if there == here:
        return ""
    # Path.relative_to cannot climb before Python 3.12.
    common = next(p for p in (here, *here.parents) if p == there or p in there.parents)
    climb = [".."] * len(here.relative_to(common).parts)
    # Quoted: a folder's name with a colon would be taken for the scheme of an address.
    return "/".join([*climb, *map(quote, there.relative_to(common).parts), ""])


def _without_controls(value: Any) -> Any:  # Any: whatever a page shows
    """Write out the control characters of texts, which no page may hold; markup is ours."""
    return for_terminal(value, layout=True) if type(value) is str else value


def _environment() -> Any:  # Any: Jinja2's Environment, imported only where a page is made
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cliptune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_controls,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": format_cell,
        "interval": interval_of,
        "numeric": is_numeric,
        "kind": _kind,
    }
    environment.globals |= {"section_file": _section_file, "csv_file": _csv_file}
    return environment


def _kind(block: Block) -> str:
    return "figure" if isinstance(block, Figure) else "table"


def _section_file(document: Document, section: Section) -> str:
    """Return where a section's numbers are: a study keeps a file a section."""
    own = f"sections/{section.name}.json"
    return own if document.source == STUDY_FILE else document.source


def _csv_file(part: _Part, section: Section, table: Table) -> str:
    """Return a table's CSV, or nothing where the run wrote none."""
    file = f"sections/{section.name}/{table.name}.csv"
    try:
        return file if file_inside(part.folder, file).is_file() else ""
    except RunError:  # a name that no file of ours has
        return ""
