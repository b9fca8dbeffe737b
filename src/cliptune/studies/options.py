"""What a study is asked to do.

It imports nothing heavy, so that a command line can read it; it knows nothing about data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cliptune.errors import InputError, UnknownNameError
from cliptune.studies.section_specs import SECTIONS
from cliptune.system.bounds import MAX_SEED, require_count, require_number

__all__ = ["NEEDS", "SECTION_NAMES", "StudyOptions", "choose_sections"]

# In the order of the report; a section comes after those it draws from.
SECTION_NAMES = tuple(SECTIONS)
# Sections without which another has nothing to say.
NEEDS = {name: spec.rests_on for name, spec in SECTIONS.items() if spec.rests_on is not None}


@dataclass(frozen=True)
class StudyOptions:
    """What a study is asked to do.

    Attributes:
        data: The data set, as it was named.
        models: Names of encoders; the first is the headline.
        budget_seconds: How long all of it may take.
        sections: Names in ``SECTION_NAMES``, in their order.
        image: The image of the first answer; nothing takes one of the data set.
        val_fraction: Share of the training images cut for validation where there is none.
        seed: Of everything random.
    """

    data: str
    models: tuple[str, ...] = ("lite",)
    budget_seconds: float = 1200.0
    sections: tuple[str, ...] = SECTION_NAMES
    image: Path | None = None
    val_fraction: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        require_number("--budget", self.budget_seconds, above=0)
        require_number("--val", self.val_fraction, above=0, below=1)
        require_count("--seed", self.seed, at_least=0, at_most=MAX_SEED)
        if not self.models:
            raise InputError("a study without a model came; name one, e.g. lite")


def choose_sections(only: str = "", skip: str = "") -> tuple[str, ...]:
    """Return the sections to do, in the order of the report.

    Args:
        only: Names with commas between them; what they need comes with them. Empty: all.
        skip: Names likewise.

    Raises:
        UnknownNameError: There is no such section.
        InputError: None is left.
    """
    for option, text in (("--only", only), ("--skip", skip)):
        if text and not _names(text):
            raise InputError(
                f"{option} {text!r} names no section; the sections are: {', '.join(SECTION_NAMES)}"
            )
    wanted, unwanted = _names(only), _names(skip)
    wanted |= {NEEDS[name] for name in wanted if name in NEEDS} - unwanted
    chosen = tuple(
        name for name in SECTION_NAMES if (name in wanted or not wanted) and name not in unwanted
    )
    if not chosen:
        raise InputError(
            f"--only {only!r} and --skip {skip!r} leave no section; the sections are: "
            f"{', '.join(SECTION_NAMES)}"
        )
    return chosen


def _names(text: str) -> set[str]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    for name in sorted(names):
        if name not in SECTION_NAMES:
            raise UnknownNameError("section", name, SECTION_NAMES)
    return names
