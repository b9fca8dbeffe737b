"""Which section comes next, and in what size: decided when its turn comes, then kept.

Sections come in the order of the report. One that the time does not allow waits until the others
are done, for what they leave; only then is it left out. It knows nothing about what sections do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cliptune.studies.ledger import Ledger
from cliptune.studies.plan import Clock, Planner
from cliptune.studies.step import Step

__all__ = ["Postponed", "Schedule"]

_PRIOR = 10.0  # seconds that went as expected, so that one short section does not upset the rest
_SLOWEST = 5.0
_LAST = "ship"


@dataclass(frozen=True)
class Postponed:
    """A section waits until the others are done.

    Attributes:
        name: The section.
        reason: Why it cannot be done now.
    """

    name: str
    reason: str


class Schedule:
    """The sections of a study, one after the other.

    Args:
        names: Sections in the order of the report.
        planner: Knows what they cost.
        ledger: What was decided before; it comes first, and in the same order.
        budget_seconds: What the study may take.
        elapsed: Seconds of this process so far.
    """

    def __init__(
        self,
        names: Sequence[str],
        planner: Planner,
        ledger: Ledger,
        *,
        budget_seconds: float,
        elapsed: Callable[[], float],
    ) -> None:
        self._planner, self._ledger = planner, ledger
        self._budget, self._elapsed = budget_seconds, elapsed
        self._decided = list(ledger.steps)
        known = {step.name for step in ledger.steps}
        self._queue = [name for name in names if name not in known]
        self._waited: set[str] = set()

    def outlook(self) -> tuple[Step, ...]:
        """Return all sections that are still to come, as they would be done now.

        What an earlier process has done takes no time again.
        """
        took = self._ledger.took
        decided = (replace(s, seconds=0.0) if s.name in took else s for s in self._decided)
        return (*decided, *self._planner.plan(self._queue, self._clock()).values())

    def next(self) -> Step | Postponed | None:
        """Decide what comes next and keep the decision; nothing when all are through."""
        if self._decided:
            return self._decided.pop(0)
        if not self._queue:
            return None
        name = self._queue.pop(0)
        step = self._planner.plan([name, *self._queue], self._clock())[name]
        if step.waits and name not in self._waited and self._queue and name != _LAST:
            self._waited.add(name)
            end = self._queue.index(_LAST) if _LAST in self._queue else len(self._queue)
            self._queue.insert(end, name)
            return Postponed(name, step.left_out or "")
        self._ledger.steps.append(step)
        self._ledger.save(elapsed=self._elapsed())
        return step

    def finished(self, name: str, seconds: float) -> None:
        """Take down what a section took; the plans after it follow from that."""
        self._ledger.took[name] = seconds
        self._ledger.save(elapsed=self._elapsed())

    def _clock(self) -> Clock:
        ledger = self._ledger
        took, expected = _PRIOR, _PRIOR
        for name, seconds in ledger.took.items():
            if (base := self._planner.base_cost(name)) is not None:
                took, expected = took + seconds, expected + base
        return Clock(
            seconds_left=self._budget - ledger.spent - self._elapsed(),
            pace=_bounded(took / expected),
            training_pace=self._training_pace(),
            n_trained=sum(_n_trained(step) for step in ledger.steps),
        )

    def _training_pace(self) -> float:
        step = self._ledger.find("fine-tuning")
        seconds = self._ledger.took.get("fine-tuning")
        if step is None or seconds is None or not step.seconds:
            return 1.0
        return _bounded(seconds / step.seconds)


def _bounded(pace: float) -> float:
    return min(max(pace, 1 / _SLOWEST), _SLOWEST)


def _n_trained(step: Step) -> int:
    """Count the classifiers with an encoder or patches of their own that a section leaves."""
    if step.left_out is not None:
        return 0
    return sum(len(step.settings.get(kind, ())) for kind in ("models", "attention", "recipe"))
