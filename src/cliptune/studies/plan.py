"""What a study does with the time that is left: which sections, in what size, and what not.

A plan is made again before every section, with what the sections before it really took. It knows
speeds and sizes, and computes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cliptune.errors import InputError
from cliptune.studies.costs import fixed_costs, largest_sweep, template_sets
from cliptune.studies.options import NEEDS, StudyOptions
from cliptune.studies.section_specs import SECTIONS
from cliptune.studies.speed import Speed, TrainingSpeed
from cliptune.studies.step import Step
from cliptune.studies.study_data import StudyData
from cliptune.studies.training_budget import Sizes, left_for
from cliptune.studies.training_plan import MOVES_WEIGHTS, add_moving, allot, plan_training
from cliptune.system.formatting import duration

__all__ = ["Clock", "Planner", "require_budget"]

Json = dict[str, Any]  # Any: plain JSON values

_MAP_IMAGES = 2000
_LEAST_RATES, _PATIENCE = 10, 30  # seconds of a sweep: the least, and where the machine is busy
_OVERHEAD = 5.0  # starting the program, writing the report
_MARGIN, _LAST_MARGIN = 0.88, 0.95  # of what is left may be planned away, and before the last
# In this order sections are kept when not all fit.
_RANKS = {name: spec.rank for name, spec in SECTIONS.items() if spec.rank is not None}
_PRIORITY = tuple(sorted(_RANKS, key=lambda name: _RANKS[name]))


@dataclass(frozen=True)
class Clock:
    """What is known about time before a section.

    Attributes:
        seconds_left: Of the budget.
        pace: How many times as long as expected sections took so far.
        training_pace: The same of those that move weights.
        n_trained: Encoders trained so far; the locked test has yet to go through each.
    """

    seconds_left: float
    pace: float = 1.0
    training_pace: float = 1.0
    n_trained: int = 0


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
    least = 1.2 * embedding + 7.0
    if budget_seconds < least:
        shown = f"{least:.0f}s" if least < 120 else f"{least / 60 + 0.5:.0f}m"
        raise InputError(
            f"--budget of {duration(budget_seconds)} is too small: embedding {n_images:,} images "
            f"alone takes about {duration(embedding)} here; the least is --budget {shown}"
        )


@dataclass(frozen=True)
class Planner:
    """Decides what is done: first what takes a fixed time, then training in what is left.

    Attributes:
        subject: The data, embedded.
        options: What was asked for.
        speeds: By encoder.
        training: By encoder that can be trained here.
        problem: Why the others cannot.
    """

    subject: StudyData
    options: StudyOptions
    speeds: Mapping[str, Speed]
    training: Mapping[str, TrainingSpeed]
    problem: str = ""

    def plan(self, names: Sequence[str], clock: Clock) -> dict[str, Step]:
        """Plan the sections that are not done yet.

        Args:
            names: These, in the order in which they come.
            clock: The time that is left, and what is known of it.
        """
        margin = _MARGIN if set(names) - MOVES_WEIGHTS - {"map-after", "ship"} else _LAST_MARGIN
        room = margin * (clock.seconds_left - _OVERHEAD)
        steps = self._plan_fixed(names, clock, room)
        room -= sum(step.seconds for step in steps.values() if step.left_out is None)
        sizes = self._sizes(clock)
        if self.subject.is_divided:
            waiting = [name for name in names if name in MOVES_WEIGHTS]
            for position, name in enumerate(waiting):
                # What one does not use, the next may.
                allowance = allot(waiting[position:], sizes, room).get(name, 0.0)
                if name == "rates":
                    steps[name], used = add_moving(steps[name], sizes, allowance, self.problem)
                else:
                    steps[name] = (
                        plan_training(name, sizes, allowance, room=room)
                        if sizes
                        else Step(name, 0.0, {}, self.problem)
                    )
                    used = steps[name].seconds if steps[name].left_out is None else 0.0
                room -= used
        for name, needed in NEEDS.items():
            if name in steps and needed in steps and (reason := steps[needed].left_out):
                reason = f"it rests on the section {needed}: {reason}"
                steps[name] = Step(name, 0.0, {}, reason, waits=steps[needed].waits)
        return {name: steps.get(name, Step(name, 0.0, {})) for name in names}

    def base_cost(self, name: str) -> float | None:
        """Return what a section of fixed size was expected to take; nothing for others."""
        return (
            None if name in MOVES_WEIGHTS else fixed_costs(self.subject, self._texts()[1]).get(name)
        )

    def _texts(self) -> tuple[list[str], float]:
        n_classes = len(self.subject.table.class_names)
        return template_sets(n_classes, self.speeds, self.options.budget_seconds)

    def _plan_fixed(self, names: Sequence[str], clock: Clock, room: float) -> dict[str, Step]:
        """Plan the sections that take a fixed time, the more important first."""
        sets, texts = self._texts()
        base = fixed_costs(self.subject, texts)
        costs = {name: clock.pace * seconds for name, seconds in base.items()}
        costs["ship"] += clock.n_trained * self._test_seconds(clock)
        settings: dict[str, Json] = {"zero-shot": {"template_sets": sets}}
        settings["map"] = {"images": _MAP_IMAGES}
        steps: dict[str, Step] = {}
        several = self.subject.sets is not None
        for name in (name for name in _PRIORITY if name in names):
            if several and not SECTIONS[name].takes_several:
                continue  # its turn says why it is left out
            own, seconds = settings.get(name, {}), costs[name]
            if name == "rates":
                own, seconds = _shorten_rates(self.subject, seconds, room, clock.pace)
            reason = None
            if seconds > room and name != "ship":  # without it the others were for nothing
                reason = _no_time(seconds, room)
            else:
                room -= seconds
            steps[name] = Step(name, seconds, own, reason, waits=reason is not None)
        return steps

    def _test_seconds(self, clock: Clock) -> float:
        """Return what the locked test takes through one trained encoder."""
        if not self.training or not self.subject.is_divided:
            return 0.0
        forward = max(speed.forward for speed in self.training.values())
        return self.subject.partition.test.n * forward * clock.training_pace

    def _sizes(self, clock: Clock) -> dict[str, Sizes]:
        """Return what training each encoder costs."""
        if not self.subject.is_divided:
            return {}
        partition = self.subject.partition
        return {
            name: Sizes(
                n_train=len(partition.train),
                n_val=len(partition.val),
                n_test=partition.test.n,
                n_classes=len(self.subject.table.class_names),
                speed=speed.slower(clock.training_pace),
            )
            for name, speed in self.training.items()
        }


def _no_time(seconds: float, room: float) -> str:
    return f"it would take about {duration(seconds)}, and {left_for(room)}"


def _shorten_rates(
    subject: StudyData, seconds: float, room: float, pace: float
) -> tuple[Json, float]:
    """Let the sweep of the added layers learn from fewer images where there is not the time."""
    images, seconds = largest_sweep(subject, seconds, room, pace)
    # Where it takes longer than expected it stops, before it takes the time of the others.
    bound = max(_LEAST_RATES, round(min(max(2 * seconds, _PATIENCE), room)))
    return {"moving_seconds": {}, "train_images": images, "seconds": bound}, seconds
