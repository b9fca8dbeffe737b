"""One section of a study: done, or left out with the reason.

It knows nothing about the order of sections or about time.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from cliptune.errors import CheckpointError, DataError, InputError, MissingExtraError
from cliptune.report import Section
from cliptune.runs import CHECKPOINT
from cliptune.studies.options import NEEDS
from cliptune.studies.section_context import SectionContext
from cliptune.studies.section_specs import SECTIONS
from cliptune.studies.step import Step
from cliptune.studies.study_data import StudyData

__all__ = ["claim_scratch", "do_section"]


def claim_scratch(folder: Path, name: str, key: str) -> tuple[Path, bool]:
    """Return where a section keeps what is unfinished, and whether it had begun otherwise.

    What was begun with other settings cannot be gone on with and is removed.
    """
    own = folder / CHECKPOINT / f"{name}.{key[:16]}"
    others = [path for path in own.parent.glob(f"{name}.*") if path != own]
    for path in others:
        shutil.rmtree(path, ignore_errors=True)
    return own, bool(others)


def do_section(subject: StudyData, step: Step, context: SectionContext) -> Section:
    """Do one section; where it cannot be done, say why and let the rest go on.

    Args:
        subject: The data.
        step: What was decided.
        context: Where it works.
    """
    spec = SECTIONS[step.name]
    reason = step.left_out or _unmet(subject, step.name, context)
    began = time.perf_counter()
    if reason is None:
        try:
            found = spec.load(several=subject.sets is not None)(subject, context)
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


def _unmet(subject: StudyData, name: str, context: SectionContext) -> str | None:
    """Say what a section lacks."""
    spec = SECTIONS[name]
    needs, needed = spec.needs, NEEDS.get(name)
    if subject.sets is not None:
        if not spec.takes_several:
            return "it takes one label an image, and these images may have several"
        if needs == "divided" and (reason := subject.sets.problem):
            return f"the data are too small to train on and to lock a test away: {reason}"
    elif needs != "nothing" and not subject.has_labels:
        return "it needs labels of two or more classes, which the data do not have"
    elif needs == "divided" and not subject.is_divided:
        try:
            _ = subject.partition
        except DataError as error:
            return f"the data are too small to train on and to lock a test away: {error}"
    if needed and needed not in context.done:
        return f"it rests on the section {needed}, which was left out"
    return None
