"""What a study does within its budget: how long each section takes, what is left out and why.

It knows speeds and sizes, and computes nothing else. Times are estimates: those of images and
texts are measured on this machine, the others follow from sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cliptune.errors import InputError
from cliptune.prompts import load_template_set
from cliptune.report.cells import format_cell
from cliptune.study.options import StudyOptions
from cliptune.study.speed import Speed
from cliptune.study.subject import Subject

__all__ = ["Plan", "Step", "make_plan", "require_budget"]

Json = dict[str, Any]  # Any: plain JSON values

_TEMPLATE_SETS = ("single", "simple", "openai")
_MAP_IMAGES = 2000
_OVERHEAD = 5.0  # reading the data set, writing the report
_MARGIN = 0.9  # of what is left may be planned away
# In this order sections are kept when not all fit.
_PRIORITY = ("zero-shot", "ship", "data", "heads", "map", "top5")
_TEXT_SHARE = 0.2  # of the budget that texts of one template set may take
# Seconds of work that is not embedding, measured on two cores: for each image, and for each
# training image, dimension and class.
_PER_IMAGE = {"data": 1e-3, "zero-shot": 5e-4, "heads": 5e-4, "ship": 3e-3, "map": 0.0}
_FIXED = {"data": 3.0, "top5": 2.0, "zero-shot": 2.0, "heads": 8.0, "ship": 3.0, "map": 12.0}
_HEADS_PER_NUMBER = 6e-8


@dataclass(frozen=True)
class Step:
    """One section in a plan.

    Attributes:
        name: The section.
        seconds: What it is expected to take.
        settings: What shapes it, as plain JSON values.
        left_out: Why it is not done, or nothing.
    """

    name: str
    seconds: float
    settings: Json
    left_out: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a study does.

    Attributes:
        steps: In the order of the report.
        speeds: By encoder, as plain JSON values.
    """

    steps: tuple[Step, ...]
    speeds: Mapping[str, Any]  # Any: plain JSON values

    def to_dict(self) -> Json:
        """Return the fields as plain JSON values."""
        return {"steps": [asdict(step) for step in self.steps], "speeds": dict(self.speeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        return cls(tuple(Step(**step) for step in values["steps"]), values["speeds"])


def require_budget(n_images: int, speeds: Mapping[str, Speed], budget_seconds: float) -> None:
    """Make sure that embedding all images, which everything rests on, leaves time for the rest.

    Args:
        n_images: N; those that the cache holds cost less, so this is the most.
        speeds: By encoder.
        budget_seconds: How long the study may take.

    Raises:
        InputError: The budget is too small; the message says what the least is.
    """
    embedding = sum(n_images / speed.images for speed in speeds.values())
    least = 1.2 * embedding + _OVERHEAD + _FIXED["zero-shot"]
    if budget_seconds < least:
        shown = f"{least:.0f}s" if least < 120 else f"{least / 60 + 0.5:.0f}m"
        raise InputError(
            f"--budget of {format_cell(budget_seconds, 'seconds')} is too small: embedding "
            f"{n_images:,} images alone takes about {format_cell(embedding, 'seconds')} here; the "
            f"least is --budget {shown}"
        )


def make_plan(
    subject: Subject,
    options: StudyOptions,
    speeds: Mapping[str, Speed],
    *,
    seconds_left: float,
) -> Plan:
    """Decide what is done.

    Args:
        subject: The data, embedded.
        options: What was asked for.
        speeds: By encoder.
        seconds_left: Of the budget.
    """
    sets, texts = _template_sets(subject, speeds, options.budget_seconds)
    settings: dict[str, Json] = {
        "zero-shot": {"template_sets": sets},
        "map": {"images": _MAP_IMAGES},
    }
    costs = _fixed_costs(subject, texts)
    room = _MARGIN * (seconds_left - _OVERHEAD)
    left_out: dict[str, str] = {}
    for name in sorted(options.sections, key=_PRIORITY.index):
        if costs[name] > room:
            left_out[name] = (
                f"it would take about {format_cell(costs[name], 'seconds')}, and "
                f"{format_cell(max(room, 0.0), 'seconds')} of the budget are left for it"
            )
        else:
            room -= costs[name]
    steps = tuple(
        Step(name, costs[name], settings.get(name, {}), left_out.get(name))
        for name in options.sections
    )
    return Plan(steps, {name: speed.to_dict() for name, speed in speeds.items()})


def _template_sets(
    subject: Subject, speeds: Mapping[str, Speed], budget_seconds: float
) -> tuple[list[str], float]:
    """Return the template sets whose texts fit, and the seconds that embedding them takes."""
    n_classes = len(subject.table.class_names)
    names: list[str] = []
    total = 0.0
    for name in _TEMPLATE_SETS:
        n_texts = n_classes * len(load_template_set(name).templates)
        seconds = sum(n_texts / speed.texts for speed in speeds.values())
        if not names or seconds <= _TEXT_SHARE * budget_seconds:
            names.append(name)
            total += seconds
    return names, total


def _fixed_costs(subject: Subject, text_seconds: float) -> dict[str, float]:
    """Return the seconds of each section that does not adapt to the budget."""
    n, n_views = len(subject.table), len(subject.views)
    size = n * subject.views[0].vectors.shape[1] * len(subject.table.class_names)
    costs = {
        name: n_views * (seconds + _PER_IMAGE.get(name, 0.0) * n)
        for name, seconds in _FIXED.items()
    }
    costs["heads"] += n_views * _HEADS_PER_NUMBER * size
    costs["zero-shot"] += text_seconds
    return costs
