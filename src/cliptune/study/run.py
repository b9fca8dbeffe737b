"""A study from its data to its report, one event after the other.

It reads as the study is done: embed, plan, each section in turn, the page. It knows nothing
about what sections find or how progress is shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cliptune.atomic import atomic_path
from cliptune.errors import (
    CheckpointError,
    DataError,
    InputError,
    MissingExtraError,
)
from cliptune.features import describe_computing
from cliptune.prompts import DEFAULT_TEMPLATE_SET, load_template_set
from cliptune.report import Section
from cliptune.report.cells import format_cell
from cliptune.study.desk import Desk
from cliptune.study.options import NEEDS, StudyOptions
from cliptune.study.page import StudyFacts, write_page
from cliptune.study.plan import Plan, Step, make_plan
from cliptune.study.registry import DRAWS_ON, SPECS
from cliptune.study.shelf import Shelf, digest_of
from cliptune.study.speed import Speed, measure_training
from cliptune.study.subject import Progress, Subject, View, spread_classes

__all__ = ["Event", "Finished", "Planned", "Started", "Study", "plan_path", "run_study"]

_FORMAT = 1  # of sections; raise it when they change, so that kept ones are made again
_MEASURED = 64  # images at hand for the step that is timed
_LATE = 0.7  # a section starts when at least this share of its time is left


@dataclass(frozen=True)
class Planned:
    """The plan, before the first section."""

    plan: Plan


@dataclass(frozen=True)
class Started:
    """A section begins.

    Attributes:
        name: The section.
        seconds: What it is expected to take.
        seconds_left: What the rest of the study is expected to take, this section included.
    """

    name: str
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Finished:
    """A section is done, taken from an earlier run, or left out."""

    section: Section
    reused: bool


Event = Planned | Started | Finished


@dataclass(frozen=True)
class Study:
    """Where a study works and what it rests on.

    Attributes:
        options: What was asked for.
        subject: The data, embedded.
        key: Digest of data, encoders, seed and what else shapes every section.
        speeds: By encoder; nothing where an earlier run has a plan.
        folder: Where it goes.
        cache: Where sections are kept for other studies.
        command: What starts this study again.
        began: ``time.perf_counter()`` at the start.
    """

    options: StudyOptions
    subject: Subject
    key: str
    speeds: Mapping[str, Speed] | None
    folder: Path
    cache: Path
    command: str
    began: float


def run_study(study: Study, progress: Progress) -> Iterator[Event]:
    """Do every section, and write the page after the last, or when interrupted.

    Args:
        study: What and where.
        progress: Shows (what, done, total) within a section.

    Yields:
        ``Planned``; for each section ``Started``, unless it is left out or was done before, and
        ``Finished``.

    Raises:
        KeyboardInterrupt: After the page of what is finished was written.
        UnavailableError: The disk is full or cannot be written to.
    """
    plan = _find_plan(study)
    yield Planned(plan)
    shelf = Shelf(study.folder, study.cache / "sections")
    done: dict[str, Section] = {}
    keys: dict[str, str] = {}
    try:
        for number, step in enumerate(plan.steps):
            keys[step.name] = _section_key(study, step, keys)
            found = shelf.find(step.name, keys[step.name])
            if found is None:
                rest = sum(s.seconds for s in plan.steps[number:] if s.left_out is None)
                if step.left_out is None:
                    yield Started(step.name, step.seconds, rest)
                found = _do(study, step, shelf, done, progress)
                shelf.keep(found, keys[step.name])
                done[step.name] = found
                yield Finished(found, reused=False)
            else:
                done[step.name] = found
                yield Finished(found, reused=True)
    except KeyboardInterrupt:
        write_page(study.folder, _facts(study, plan), {**done, **_missing(plan, done)})
        raise
    write_page(study.folder, _facts(study, plan), done)


def _find_plan(study: Study) -> Plan:
    """Take the plan of an earlier run of the same study, or make one: speeds vary a little."""
    path = plan_path(study.cache, study.key, study.options)
    if study.speeds is None:
        return Plan.from_dict(json.loads(path.read_text(encoding="utf-8")))
    left = study.options.budget_seconds - (time.perf_counter() - study.began)
    plan = make_plan(
        study.subject,
        study.options,
        study.speeds,
        seconds_left=left,
        measure_training=_measure_training,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(plan.to_dict(), indent=2) + "\n", encoding="utf-8")
    return plan


def _measure_training(subject: Subject, view: View) -> float:
    try:
        from cliptune.study.tuning import load_trainable  # brings torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "training all weights") from error
    rows = spread_classes(subject, subject.partition.train, _MEASURED)
    templates = load_template_set(DEFAULT_TEMPLATE_SET).templates
    encoder = load_trainable(view.name, subject.device)
    return measure_training(encoder, subject.table.select(rows), templates=templates)


def plan_path(cache: Path, key: str, options: StudyOptions) -> Path:
    """Return where the plan of a study is kept; if it is there, no speed has to be measured."""
    asked = {"study": key, "budget": options.budget_seconds, "sections": options.sections}
    return cache / "plans" / f"{digest_of(asked)}.json"


def _section_key(study: Study, step: Step, keys: Mapping[str, str]) -> str:
    image = study.options.image
    return digest_of(
        {
            "format": _FORMAT,
            "study": study.key,
            "images": study.subject.images.digest,
            "name": step.name,
            "settings": step.settings,
            "left_out": [step.left_out, study.options.budget_seconds] if step.left_out else None,
            "draws_on": {name: keys.get(name) for name in DRAWS_ON.get(step.name, ())},
            "image": str(image.resolve()) if image and step.name == "top5" else None,
        }
    )


def _do(
    study: Study, step: Step, shelf: Shelf, done: Mapping[str, Section], progress: Progress
) -> Section:
    """Do one section; where it cannot be done, say why and let the rest go on."""
    spec = SPECS[step.name]
    reason = step.left_out or _unmet(study.subject, step.name, done) or _late(study, step, done)
    desk = Desk(
        name=step.name,
        folder=shelf.place(step.name),
        settings=step.settings,
        scratch=study.cache / "unfinished" / f"{study.key[:16]}-{step.name}",
        done={name: section for name, section in done.items() if section.skipped is None},
        progress=progress,
        image=study.options.image,
    )
    began = time.perf_counter()
    if reason is None:
        try:
            found = spec.load()(study.subject, desk)
            return Section(
                name=step.name,
                title=spec.title,
                question=spec.question,
                seconds=time.perf_counter() - began,
                **vars(found),
            )
        except (CheckpointError, DataError, InputError, MissingExtraError) as error:
            reason = " ".join(str(error).split())
    return Section(step.name, spec.title, spec.question, "", skipped=reason)


def _unmet(subject: Subject, name: str, done: Mapping[str, Section]) -> str | None:
    """Say what a section lacks."""
    needs = SPECS[name].needs
    if needs != "nothing" and not subject.has_labels:
        return "it needs labels of two or more classes, which the data do not have"
    if needs == "divided" and not subject.is_divided:
        try:
            _ = subject.partition
        except DataError as error:
            return f"the data are too small to train on and to lock a test away: {error}"
    needed = NEEDS.get(name)
    if needed and (needed not in done or done[needed].skipped):
        return f"it rests on the section {needed}, which was left out"
    return None


def _late(study: Study, step: Step, done: Mapping[str, Section]) -> str | None:
    """Say that the budget is used up; the last section always has its time."""
    spent = time.perf_counter() - study.began
    left = study.options.budget_seconds - spent
    if step.name == "ship" or left >= _LATE * step.seconds:
        return None
    return (
        f"it would take about {format_cell(step.seconds, 'seconds')}, and "
        f"{format_cell(max(left, 0.0), 'seconds')} of the budget are left"
    )


def _missing(plan: Plan, done: Mapping[str, Section]) -> dict[str, Section]:
    return {
        step.name: Section(
            step.name,
            SPECS[step.name].title,
            SPECS[step.name].question,
            "",
            skipped="the study was interrupted before it; the same command goes on here",
        )
        for step in plan.steps
        if step.name not in done
    }


def _facts(study: Study, plan: Plan) -> StudyFacts:
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
        seconds=time.perf_counter() - study.began,
        speeds=plan.speeds,
        command=study.command,
        computing=describe_computing(encoders[0], subject.views[0].store.guard),
    )
