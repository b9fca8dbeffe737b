"""A study from its data to its report, one event after the other.

It reads as the study is done: a schedule, each section in turn, the page. It knows nothing
about what sections find or how progress is shown.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cliptune.features import describe_computing
from cliptune.report import Section
from cliptune.runs import CHECKPOINT
from cliptune.studies.ledger import Ledger
from cliptune.studies.open import measure_trainings
from cliptune.studies.options import StudyOptions
from cliptune.studies.page import StudyFacts, write_page
from cliptune.studies.plan import Planner
from cliptune.studies.schedule import Postponed, Schedule
from cliptune.studies.section_cache import SectionCache, digest_of
from cliptune.studies.section_context import SectionContext
from cliptune.studies.section_run import claim_scratch, do_section
from cliptune.studies.section_specs import SECTIONS
from cliptune.studies.step import Step
from cliptune.studies.study_data import Progress, StudyData

__all__ = ["Event", "Finished", "Planned", "Postponed", "Started", "Study", "run_study"]

_FORMAT = 4  # of sections; raise it when they change, so that kept ones are made again


@dataclass(frozen=True)
class Planned:
    """What would be done now, before the first section; it is planned again before each.

    Attributes:
        steps: Sections in order.
        seconds_left: Of the budget.
    """

    steps: tuple[Step, ...]
    seconds_left: float


@dataclass(frozen=True)
class Started:
    """A section begins.

    Attributes:
        name: The section.
        seconds: What it is expected to take.
        seconds_left: What the rest of the study is expected to take, this section included.
        begins_anew: What an interrupted run had begun of it was of other settings and is gone.
    """

    name: str
    seconds: float
    seconds_left: float
    begins_anew: bool = False


@dataclass(frozen=True)
class Finished:
    """A section is done, taken from an earlier run, or left out."""

    section: Section
    reused: bool


Event = Planned | Postponed | Started | Finished


@dataclass(frozen=True)
class Study:
    """Where a study works and what it rests on.

    Attributes:
        options: What was asked for.
        subject: The data, embedded.
        key: Digest of data, encoders, seed and what else shapes every section.
        ledger: What was measured and decided before; it holds the speeds.
        folder: Where it goes.
        cache: Where sections are kept for other studies.
        command: What starts this study again.
        began: ``time.perf_counter()`` at the start.
    """

    options: StudyOptions
    subject: StudyData
    key: str
    ledger: Ledger
    folder: Path
    cache: Path
    command: str
    began: float

    def elapsed(self) -> float:
        """Return the seconds of this process so far."""
        return time.perf_counter() - self.began

    def seconds_left(self) -> float:
        """Return what is left of the budget."""
        return self.options.budget_seconds - self.ledger.spent - self.elapsed()


def run_study(study: Study, progress: Progress) -> Iterator[Event]:
    """Do every section, and write the page after the last, or when interrupted.

    Args:
        study: What and where.
        progress: Shows (what, done, total) within a section.

    Yields:
        ``Planned``; for each section ``Postponed`` if it has to wait, ``Started``, unless it is
        left out or was done before, and ``Finished``.

    Raises:
        KeyboardInterrupt: After the page of what is finished was written.
        UnavailableError: The disk is full or cannot be written to.
    """
    schedule = _make_schedule(study)
    yield Planned(schedule.outlook(), study.seconds_left())
    shelf = SectionCache(study.folder, study.cache / "sections")
    done: dict[str, Section] = {}
    keys: dict[str, str] = {}
    try:
        while (step := schedule.next()) is not None:
            if isinstance(step, Postponed):
                yield step
                continue
            keys[step.name] = _section_key(study, step, keys)
            found = shelf.find(step.name, keys[step.name])
            reused = found is not None
            if found is None:
                scratch, begins_anew = claim_scratch(study.folder, step.name, keys[step.name])
                if step.left_out is None:
                    rest = sum(s.seconds for s in schedule.outlook() if s.left_out is None)
                    yield Started(step.name, step.seconds, step.seconds + rest, begins_anew)
                found = _do(study, step, shelf.place(step.name), scratch, done, progress)
                shelf.keep(found, keys[step.name])
                shutil.rmtree(scratch, ignore_errors=True)
                if found.skipped is None:
                    schedule.finished(step.name, found.seconds)
            done[step.name] = found
            yield Finished(found, reused)
    except KeyboardInterrupt:
        write_page(study.folder, _facts(study), _in_order(study, {**_missing(study), **done}))
        raise
    shutil.rmtree(study.folder / CHECKPOINT, ignore_errors=True)
    write_page(study.folder, _facts(study), _in_order(study, done))


def _make_schedule(study: Study) -> Schedule:
    ledger = study.ledger
    if ledger.training is None:
        ledger.training, ledger.problem = measure_trainings(study.subject, study.options)
        ledger.save(elapsed=study.elapsed())
    assert ledger.speeds is not None, "they were measured before the study began"
    planner = Planner(study.subject, study.options, ledger.speeds, ledger.training, ledger.problem)
    return Schedule(
        study.options.sections,
        planner,
        ledger,
        budget_seconds=study.options.budget_seconds,
        elapsed=study.elapsed,
    )


def _do(
    study: Study,
    step: Step,
    folder: Path,
    scratch: Path,
    done: Mapping[str, Section],
    progress: Progress,
) -> Section:
    context = SectionContext(
        name=step.name,
        folder=folder,
        settings=step.settings,
        scratch=scratch,
        done={name: section for name, section in done.items() if section.skipped is None},
        progress=progress,
        image=study.options.image,
    )
    return do_section(study.subject, step, context)


def _section_key(study: Study, step: Step, keys: Mapping[str, str]) -> str:
    image = study.options.image
    return digest_of(
        {
            "format": _FORMAT,
            "study": study.key,
            "images": study.subject.images.digest,
            "reading": list(study.subject.reading),  # it stands in commands
            "name": step.name,
            "settings": step.settings,
            "left_out": [step.left_out, study.options.budget_seconds] if step.left_out else None,
            "draws_on": {name: keys.get(name) for name in SECTIONS[step.name].draws_on},
            "image": str(image.resolve()) if image and step.name == "top5" else None,
        }
    )


def _missing(study: Study) -> dict[str, Section]:
    return {
        name: Section(
            name,
            SECTIONS[name].title,
            SECTIONS[name].question,
            "",
            skipped="the study was interrupted before it; the same command goes on here",
        )
        for name in study.options.sections
    }


def _in_order(study: Study, sections: Mapping[str, Section]) -> dict[str, Section]:
    """Return sections in the order of the report, whenever they were done."""
    return {name: sections[name] for name in study.options.sections}


def _facts(study: Study) -> StudyFacts:
    subject, options = study.subject, study.options
    encoders = [view.encoder for view in subject.views]
    return StudyFacts(
        data=options.data,
        models=options.models,
        encoders=tuple(f"{e.name}, {e.precision}, {e.fingerprint[:16]}" for e in encoders),
        n_images=len(subject.table),
        n_classes=len(subject.table.class_names),
        data_digest=subject.table.digest(),
        seed=options.seed,
        budget_seconds=options.budget_seconds,
        seconds=study.elapsed(),
        speeds={name: speed.to_dict() for name, speed in (study.ledger.speeds or {}).items()},
        command=study.command,
        computing=describe_computing(encoders[0], subject.views[0].store.guard),
    )
