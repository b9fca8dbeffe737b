"""What ``study`` gives: every section's answer, and what to ship.

It knows nothing about how sections come to their answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cliptune.features.guard import RowsChecked
from cliptune.results.base import Result
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["SectionAnswer", "StudyResult"]


@dataclass(frozen=True, kw_only=True)
class SectionAnswer:
    """A question and what was found.

    Attributes:
        name: Of the section.
        title: Its heading.
        question: What it asks.
        conclusion: What the numbers say.
        numbers: Everything that it measured.
        figures: Files.
        blocks: Tables and figures as the report shows them.
        notes: What a careful reader has to know.
        seconds: What it took.
        skipped: Why it was not done, or None.
    """

    name: str
    title: str
    question: str
    conclusion: str
    numbers: Mapping[str, Any]  # Any: plain JSON values, other ones in each section
    figures: tuple[str, ...]
    blocks: tuple[Any, ...]  # Any: plain JSON values
    notes: tuple[str, ...]
    seconds: float
    skipped: str | None


@dataclass(frozen=True, kw_only=True)
class StudyResult(Result):
    """The whole investigation of a data set.

    Attributes:
        data: The data set, as it was named.
        models: Encoders, the headline first.
        engine: What ran the first.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        report: The page.
        title: Its heading.
        summary: A line below it.
        recommendation: What to ship, None where nothing was chosen.
        answer: What the last section says.
        answer_title: Its heading.
        command: What makes the shipped classifier again.
        predict: What uses it.
        tiles: Numbers that stand out.
        sections: Answers by name.
        budget_seconds: How long it might take.
        seconds: How long it took.
        seed: Of everything random.
        facts: What else stands at the end of the page.
    """

    data: str
    models: tuple[str, ...]
    engine: str
    precision: str
    rows_checked: RowsChecked
    report: str
    title: str
    summary: str
    recommendation: str | None
    answer: str
    answer_title: str
    command: str
    predict: str
    tiles: tuple[Mapping[str, Any], ...]  # Any: plain JSON values
    sections: Mapping[str, SectionAnswer]
    budget_seconds: float
    seconds: float
    seed: int
    facts: tuple[tuple[str, str], ...]

    def blocks(self) -> tuple[Shown, ...]:
        """Return every answer, what to ship, and where the page is."""
        ship = self.sections.get("ship")
        rows = [(name, one.skipped or one.conclusion) for name, one in self.sections.items()]
        return (
            TextTable.of(self.title, ("section", "what was found"), rows),
            *((ship.conclusion,) if ship and not ship.skipped else ()),
            *((f"Again: {self.command}\nUse it: {self.predict}",) if self.command else ()),
            f"Report: {self.report}",
        )
