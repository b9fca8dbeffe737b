"""``cliptune study``: the whole investigation of a data set, as one report."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cliptune.cli.console import note, print_result
from cliptune.cli.numbers import number
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelNames, Output
from cliptune.system.bounds import INNER_SHARE
from cliptune.system.formatting import duration
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.study import SectionProgress
from cliptune.workflows.study import study as study_data

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cliptune.studies.run import Finished, Planned, Study

__all__ = ["study"]


def study(
    data: str,
    /,
    *,
    model: ModelNames = ("lite",),
    budget: str = "20m",
    only: str = "",
    skip: str = "",
    image: Path | None = None,
    val: Annotated[float, number(**INNER_SHARE)] = 0.2,
    out: Path | None = None,
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Investigate a data set within a budget of time and write one report.

    Every section asks a question and answers it by rule from numbers with intervals. The test
    split stays locked until the last section. Stopped at any moment, the same command goes on.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        model: Which encoder, as for the other commands; give several to compare them.
        budget: How long it may take, such as 90s, 20m or 1.5h.
        only: Sections to do, with commas: data, top5, zero-shot, fine-tuning, heads,
            rates, map, map-after, beyond, ship.
        skip: Sections to leave out.
        image: The image of the section top5; one of the data set otherwise.
        val: Share of the training images cut for validation where there is no such split.
        out: Folder of the study; one below runs/ that is the same for the same study otherwise.
        dataset: How to read the data set.
        compute: Where and how encoders compute.
        output: How results are shown.
    """
    with _live_line() as line:
        told = _StudyNotes(line)
        try:
            result = study_data(
                data,
                model=model,
                budget=budget,
                only=only,
                skip=skip,
                image=image,
                val=val,
                out=out,
                dataset=dataset,
                compute=compute,
                seed=output.seed,
                command=shlex.join(["cliptune", *sys.argv[1:]]),
                progress=TerminalWatch(told),
            )
        except KeyboardInterrupt:
            told.say_what_is_kept()
            raise
    print_result(result, as_json=output.json)


@dataclass
class _StudyNotes:
    """Shows what happens in a study as it happens.

    Attributes:
        line: The line that moves.
        prepared: The study, once it is prepared.
        place: Sections that are finished.
    """

    line: _LiveLine
    prepared: Study | None = None
    place: int = 0

    def __call__(self, event: object) -> None:
        """Show one event."""
        from cliptune.studies.run import Finished, Planned, Postponed, Started, Study

        match event:
            case SectionProgress():
                self.line.show(event.what, event.done, event.total)
            case Study():
                self.prepared = event
                self.line.start()
            case Planned():
                _note_plan(event)
            case Postponed():
                note(f"{event.name} waits for what the others leave: {event.reason}")
            case Started():
                self.line.headline(f"{self._number()} {event.name}", event.seconds_left)
                if event.begins_anew:
                    note(f"{event.name} begins anew: it had begun with other settings")
            case Finished():
                self.place += 1
                note(f"[{self.place}/{self._n_sections}] {_line(event)}")
            case _:
                pass

    @property
    def _n_sections(self) -> int:
        assert self.prepared is not None, "it comes before its events"
        return len(self.prepared.options.sections)

    def _number(self) -> str:
        return f"[{self.place + 1}/{self._n_sections}]"

    def say_what_is_kept(self) -> None:
        """Say how an interrupted study goes on, if it had begun."""
        if self.prepared is not None:
            note(f"what is finished: {self.prepared.folder / 'report.html'}")
            note(f"the same command goes on from here: {self.prepared.command}")


@dataclass
class _LiveLine:
    """The section at work, how far it is, and about how long the study still takes."""

    bar: Progress
    task: TaskID
    ends_at: float = 0.0

    def start(self) -> None:
        """Begin to show; before, the bars of the preparation are seen."""
        self.bar.start()

    def show(self, what: str, done: int, total: int) -> None:
        """Show how far the section is."""
        left = max(self.ends_at - time.monotonic(), 0)
        counted = f"{what} {done}/{total}"
        self.bar.update(self.task, completed=done, total=total, what=counted, left=_left(left))

    def headline(self, text: str, seconds_left: float) -> None:
        """Begin a section."""
        self.ends_at = time.monotonic() + seconds_left
        self.bar.reset(self.task, total=None, description=text, what="", left=_left(seconds_left))


@contextmanager
def _live_line() -> Iterator[_LiveLine]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[what]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
    )
    hidden = not console.is_terminal  # a bar that nobody watches would still end its line
    bar = Progress(*columns, console=console, transient=True, disable=hidden)
    try:
        yield _LiveLine(bar, bar.add_task("planning", total=None, what="", left=""))
    finally:
        bar.stop()


def _left(seconds: float) -> str:
    return f"about {duration(seconds)} left"


def _note_plan(planned: Planned) -> None:
    """Say what is to come; the sizes follow from what the sections before really take."""
    total = duration(sum(step.seconds for step in planned.steps if step.left_out is None))
    note(
        f"plan: {', '.join(step.name for step in planned.steps)}; about {total} of the "
        f"{duration(planned.seconds_left)} that the budget leaves"
    )


def _line(event: Finished) -> str:
    section = event.section
    if section.skipped is not None:
        return f"{section.name}: left out, {section.skipped}"
    took = "done before" if event.reused else duration(section.seconds)
    return f"{section.name} ({took}): {section.conclusion}"
