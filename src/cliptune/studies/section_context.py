"""What a section is handed besides its subject, and what it hands back.

It knows nothing about any one section.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cliptune.errors import DataError
from cliptune.prompts import DEFAULT_TEMPLATE_SET, TemplateSet, load_template_set
from cliptune.report import Figure, Section
from cliptune.report.charts import Chart, save_chart
from cliptune.report.document import Block
from cliptune.report.svg import save_picture
from cliptune.studies.study_data import Progress

__all__ = ["SectionContext", "SectionResult", "TooSmallError", "slug"]

Json = dict[str, Any]  # Any: plain JSON values


class TooSmallError(DataError):
    """The data are too few for a section; it is left out and the study goes on."""


@dataclass(frozen=True)
class SectionResult:
    """What a section found.

    Attributes:
        conclusion: In words, by rule.
        numbers: Everything that was measured, as plain JSON values.
        blocks: Tables and figures, in order.
        notes: What a careful reader has to know.
    """

    conclusion: str
    numbers: Json
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SectionContext:
    """Where a section works.

    Attributes:
        name: The section's.
        folder: Its own folder, empty.
        settings: What the plan decided for it, as plain JSON values.
        scratch: A folder that outlives an interruption, for checkpoints.
        done: Finished sections by name, without those that were left out.
        progress: Shows (what, done, total).
        image: The image that the user wants an answer for.
    """

    name: str
    folder: Path
    settings: Json
    scratch: Path
    done: Mapping[str, Section]
    progress: Progress
    image: Path | None = None

    def chart(self, chart: Chart, stem: str, *, alt: str, caption: str) -> Figure:
        """Write a chart into the section's folder."""
        save_chart(chart, self.folder / f"{stem}.svg")
        return Figure(self.file(f"{stem}.svg"), alt, caption)

    def picture(
        self, image: Image.Image, stem: str, *, alt: str, caption: str, wide: bool = False
    ) -> Figure:
        """Write a picture of pixels into the section's folder."""
        save_picture(image, self.folder / f"{stem}.svg")
        return Figure(self.file(f"{stem}.svg"), alt, caption, wide=wide)

    def file(self, name: str) -> str:
        """Return a file of the section as the report names it."""
        return f"sections/{self.name}/{name}"

    def template_set(self, model: str) -> TemplateSet:
        """Return the template set that the zero-shot section chose, or the default one."""
        section = self.done.get("zero-shot")
        chosen = section.numbers["models"][model]["chosen"] if section else DEFAULT_TEMPLATE_SET
        return load_template_set(chosen)


def slug(name: str) -> str:
    """Return a name as part of a file's name."""
    return "".join(c if c.isalnum() or c in "-." else "-" for c in name)
