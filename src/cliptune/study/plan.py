"""What a study does within its budget: how long each section takes, what is left out and why.

It knows speeds and sizes, and computes nothing else. Times are estimates: those of images, texts
and training steps are measured on this machine, the others follow from sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cliptune.errors import DataError, InputError, MissingExtraError
from cliptune.prompts import load_template_set
from cliptune.report.cells import format_cell
from cliptune.study.allowance import Sizes, fit_training
from cliptune.study.options import NEEDS, StudyOptions
from cliptune.study.speed import Speed
from cliptune.study.subject import Subject, View

__all__ = ["MOVING_BATCH", "Plan", "Step", "make_plan", "require_budget"]

Json = dict[str, Any]  # Any: plain JSON values
MeasureTraining = Callable[[Subject, View], float]

_TEMPLATE_SETS = ("single", "simple", "openai")
_MAP_IMAGES = 2000
_AFTER_IMAGES = 500
_OVERHEAD = 5.0  # reading the data set, writing the report
_MARGIN = 0.85  # of what is left may be planned away
# In this order sections are kept when not all fit.
_PRIORITY = ("zero-shot", "ship", "data", "heads", "map", "top5", "rates", "map-after")
_SHARES = {"fine-tuning": 0.4, "rates": 0.25, "beyond": 0.35}  # of what the others leave
_TEXT_SHARE = 0.2  # of the budget that texts of one template set may take
# Seconds of work that is not embedding, measured on two cores: for each image, and for each
# training image, dimension and class.
_PER_IMAGE = {"data": 1e-3, "zero-shot": 5e-4, "heads": 5e-4, "ship": 3e-3}
_FIXED = {
    "data": 3.0, "top5": 2.0, "zero-shot": 2.0, "heads": 8.0, "ship": 3.0, "map": 12.0,
    "map-after": 12.0, "rates": 5.0,
}  # fmt: skip
_HEADS_PER_NUMBER = 6e-8
_RATES_PER_SQUARE = 1.1e-7  # for each image: two layers of D x D, all rates and seeds, 20 epochs
_LEAST_MOVING, _MOST_MOVING = 40, 600  # seconds of the sweep that moves weights
_MOVING_STEPS = 24  # what it takes to measure a step and to compare a few rates
MOVING_BATCH = 32
_RATES_IMAGES = 4000  # more would not move the best rate by much
_ATTENTION_COST = 2.0  # its fit takes about as long as embedding the patches


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
    measure_training: MeasureTraining,
) -> Plan:
    """Decide what is done: first what takes a fixed time, then training in what is left.

    Args:
        subject: The data, embedded.
        options: What was asked for.
        speeds: By encoder.
        seconds_left: Of the budget.
        measure_training: Gives the seconds of one image in a training step.
    """
    room = _MARGIN * (seconds_left - _OVERHEAD)
    steps = _plan_fixed(subject, options, speeds, room)
    room -= sum(step.seconds for step in steps.values() if step.left_out is None)
    training = [name for name in _SHARES if name in options.sections]
    if training and subject.is_divided:
        sizes, problem = _all_sizes(subject, speeds, measure_training)
        for position, name in enumerate(training):
            if not sizes:
                steps[name] = Step(name, 0.0, {}, problem)
                continue
            rest = training[position:]  # what one does not use, the next may
            share = _SHARES[name] / sum(_SHARES[other] for other in rest)
            if name == "rates":
                steps[name], used = _add_moving(steps[name], sizes, share * room)
            else:
                steps[name] = _PLANNERS[name](subject, sizes, share * room)
                used = steps[name].seconds if steps[name].left_out is None else 0.0
            room -= used
    for name, needed in NEEDS.items():
        if name in steps and needed in steps and (reason := steps[needed].left_out):
            steps[name] = Step(name, 0.0, {}, f"it rests on the section {needed}: {reason}")
    ordered = tuple(steps.get(name, Step(name, 0.0, {})) for name in options.sections)
    return Plan(ordered, {name: speed.to_dict() for name, speed in speeds.items()})


def _plan_fixed(
    subject: Subject, options: StudyOptions, speeds: Mapping[str, Speed], room: float
) -> dict[str, Step]:
    """Plan the sections that take a fixed time, the more important first."""
    sets, texts = _template_sets(subject, speeds, options.budget_seconds)
    costs = _fixed_costs(subject, texts)
    settings: dict[str, Json] = {
        "zero-shot": {"template_sets": sets},
        "map": {"images": _MAP_IMAGES},
        # The seconds are a bound for a slow machine, not a wish.
        "rates": {
            "moving_seconds": {},
            "train_images": _RATES_IMAGES,
            "seconds": round(60 + 4 * costs["rates"]),
        },
    }
    steps: dict[str, Step] = {}
    for name in (name for name in _PRIORITY if name in options.sections):
        reason = None
        if costs[name] > room:
            reason = (
                f"it would take about {format_cell(costs[name], 'seconds')}, and "
                f"{format_cell(max(room, 0.0), 'seconds')} of the budget are left for it"
            )
        else:
            room -= costs[name]
        steps[name] = Step(name, costs[name], settings.get(name, {}), reason)
    return steps


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
    squares = sum(view.vectors.shape[1] ** 2 for view in subject.views)
    costs["rates"] += _RATES_PER_SQUARE * min(n, _RATES_IMAGES) * squares
    costs["zero-shot"] += text_seconds
    return costs


def _all_sizes(
    subject: Subject, speeds: Mapping[str, Speed], measure_training: MeasureTraining
) -> tuple[dict[str, Sizes], str]:
    """Return what training each encoder costs, and why some cannot be trained."""
    sizes: dict[str, Sizes] = {}
    problem = ""
    for view in subject.views:
        try:
            step = measure_training(subject, view)
        except (DataError, MissingExtraError) as error:
            problem = " ".join(str(error).split())
            continue
        sizes[view.name] = Sizes(
            n_train=len(subject.partition.train),
            n_val=len(subject.partition.val),
            n_classes=len(subject.table.class_names),
            step_seconds=step,
            # A backward pass costs about twice as much as the one forward.
            forward_seconds=max(1 / speeds[view.name].images, step / 3),
        )
    return sizes, problem


def _plan_fine_tuning(subject: Subject, sizes: Mapping[str, Sizes], allowance: float) -> Step:
    """Give each encoder its share; the weights are also scored on the test in the end."""
    models: dict[str, Json] = {}
    total, reason = 0.0, ""
    for position, (name, size) in enumerate(sizes.items()):
        kept = (subject.partition.test.n + _AFTER_IMAGES) * size.forward_seconds
        share = (allowance - total) / (len(sizes) - position)
        found = fit_training(size, share - kept)
        if isinstance(found, str):
            reason = found
        else:
            models[name] = found.settings
            total += found.seconds + kept
    settings = {"models": models, "map_images": _AFTER_IMAGES}
    return Step("fine-tuning", total, settings, None if models else reason)


def _add_moving(step: Step, sizes: Mapping[str, Sizes], allowance: float) -> tuple[Step, float]:
    """Give encoders an equal time for the sweep that moves weights, if it is enough for some steps.

    The sweep measures a few steps before it begins; a time that this would use up is not given.
    """
    each = round(min(allowance / len(sizes), _MOST_MOVING))
    able = [
        name
        for name, size in sizes.items()
        if each >= max(_LEAST_MOVING, _MOVING_STEPS * MOVING_BATCH * size.step_seconds)
    ]
    if step.left_out is not None or not able:
        return step, 0.0
    settings = {**step.settings, "moving_seconds": dict.fromkeys(able, each)}
    used = float(each * len(able))
    return replace(step, seconds=step.seconds + used, settings=settings), used


def _plan_beyond(subject: Subject, sizes: Mapping[str, Sizes], allowance: float) -> Step:
    """Give the attention head a third of each encoder's share, the recipe the rest."""
    attention: dict[str, int] = {}
    recipe: dict[str, Json] = {}
    total, reason = 0.0, ""
    n_test = subject.partition.test.n
    for position, (name, size) in enumerate(sizes.items()):
        share = (allowance - total) / (len(sizes) - position)
        fixed = (size.n_val + n_test) * size.forward_seconds + 5.0
        per_image = _ATTENTION_COST * size.forward_seconds
        n_train = min(size.n_train, int((share / 3 - fixed) / per_image))
        used = 0.0
        if n_train >= 2 * size.n_classes:
            attention[name] = n_train
            used = fixed + n_train * per_image
        kept = n_test * size.forward_seconds
        found = fit_training(size, share - used - kept)
        if isinstance(found, str):
            reason = found
        else:
            recipe[name] = found.settings
            used += found.seconds + kept
        total += used
    left_out = None if attention or recipe else reason
    return Step("beyond", total, {"attention": attention, "recipe": recipe}, left_out)


_PLANNERS = {"fine-tuning": _plan_fine_tuning, "beyond": _plan_beyond}
