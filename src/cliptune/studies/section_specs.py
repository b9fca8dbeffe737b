"""Which sections a study has: found in their files, loaded when their turn comes.

A file in ``sections/`` with a ``SECTION = SectionSpec(...)`` of plain values is a section, and
nothing else lists it: what it asks, what it needs and costs stands there. Reading these imports no
section.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cliptune.studies.section_context import SectionContext, SectionResult
    from cliptune.studies.study_data import StudyData

    Run = Callable[[StudyData, SectionContext], SectionResult]

__all__ = ["SECTIONS", "SectionSpec"]

_PACKAGE = "cliptune.studies.sections"
_SEVERAL = "cliptune.studies.label_sections"


@dataclass(frozen=True, kw_only=True)
class SectionSpec:
    """One section.

    Attributes:
        name: In lists of options, and of its files.
        place: In the report, low to high; a section comes after those that it draws on.
        title: Its heading.
        question: What it asks.
        function: The function of its module that answers.
        needs: ``nothing``, ``labels``, or labels ``divided`` into training, validation, test.
        draws_on: Sections whose results it reads; when one changes, it is made again.
        rests_on: A section without which it has nothing to say.
        rank: Among the sections that take a fixed time: the lower is kept first when not all fit.
            None: it takes what the others leave.
        seconds: Of work that is not embedding, on two cores.
        seconds_per_image: Likewise.
        several: The module of ``label_sections`` whose ``answer`` takes its place where an image
            may have several labels. None: it is left out there, unless it needs nothing.
        module: Where it was found.
    """

    name: str
    place: int
    title: str
    question: str
    function: str
    needs: str = "divided"
    draws_on: tuple[str, ...] = ()
    rests_on: str | None = None
    rank: int | None = None
    seconds: float = 0.0
    seconds_per_image: float = 0.0
    several: str | None = None
    module: str = ""

    @property
    def takes_several(self) -> bool:
        """Whether it has something to say where an image may have several labels."""
        return self.several is not None or self.needs == "nothing"

    def load(self, *, several: bool = False) -> Run:
        """Import the function that answers.

        Args:
            several: An image may have several labels.
        """
        name, function = self.module, self.function
        if several and self.several is not None:
            name, function = f"{_SEVERAL}.{self.several}", "answer"
        found: Run = getattr(importlib.import_module(name), function)
        return found


def _find_sections() -> dict[str, SectionSpec]:
    found = []
    for file in files(_PACKAGE).iterdir():
        if not file.name.endswith(".py"):
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SECTION":
                assert isinstance(node.value, ast.Call), "a section is a call of SectionSpec"
                given = {str(k.arg): ast.literal_eval(k.value) for k in node.value.keywords}
                found.append(SectionSpec(**given, module=f"{_PACKAGE}.{file.name[:-3]}"))
    return {spec.name: spec for spec in sorted(found, key=lambda spec: spec.place)}


SECTIONS: Mapping[str, SectionSpec] = _find_sections()
"""By name, in the order of the report."""
