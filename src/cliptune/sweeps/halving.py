"""Successive halving of a grid of two rates within a budget: what is trained for how long.

Every point is trained briefly, the best third three times as long, and so on (Jamieson and
Talwalkar, arXiv:1502.07943); each training has a whole schedule of its own. It knows nothing
about models, only what a step costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cliptune.errors import InputError
from cliptune.sweeps.grid import Axis, Grid, coarse_first
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.ranking import PointScore, judge, rank_points
from cliptune.sweeps.records import Purpose, Trial, TrialConfig
from cliptune.sweeps.store import Suggest
from cliptune.system.formatting import duration

__all__ = ["Costs", "HalvingPlan", "HalvingStrategy", "plan_halving"]

_FACTOR = 3
_LEAST_STEPS = 4
_FEWEST_IN_LAST_RUNG = 3
_SHARE = 0.85  # of the time left: what a step costs was measured on very few


@dataclass(frozen=True)
class Costs:
    """What training costs here.

    Attributes:
        step_seconds: One update with everything moving.
        trial_seconds: What each trial adds: set-up and validation.
    """

    step_seconds: float
    trial_seconds: float

    def of(self, steps: int) -> float:
        """Return the seconds of a trial."""
        return self.trial_seconds + steps * self.step_seconds


@dataclass(frozen=True)
class HalvingPlan:
    """Who is trained for how long.

    Attributes:
        backbones: Rates of the backbone in these rounds; 0 where a frozen one costs as much.
        heads: Rates of the head.
        rungs: (points, steps) of each round.
        final_seeds: Seeds that the best point of the last round is trained with.
    """

    backbones: tuple[float, ...]
    heads: tuple[float, ...]
    rungs: tuple[tuple[int, int], ...]
    final_seeds: int

    @property
    def final_steps(self) -> int:
        """Steps of the last round."""
        return self.rungs[-1][1]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HalvingPlan:  # Any: plain JSON values
        """Read what ``to_dict`` gave, lists for tuples."""
        return cls(
            tuple(values["backbones"]),
            tuple(values["heads"]),
            tuple((n, steps) for n, steps in values["rungs"]),
            values["final_seeds"],
        )


def plan_halving(
    grid: Grid, costs: Costs, *, seconds: float, most_steps: int, seeds: int, free_frozen: bool
) -> HalvingPlan:
    """Fit a grid into a time: fewer seeds first, then a coarser grid.

    Args:
        grid: Axes ``backbone`` and ``head``.
        costs: What training costs.
        seconds: Time for all of it.
        most_steps: Steps that no trial needs more of.
        seeds: Seeds wanted for the best point.
        free_frozen: Points with a frozen backbone are trained elsewhere, at next to no cost.

    Raises:
        InputError: Not even one trial fits; the message says what one costs.
    """
    backbones = grid.axis("backbone").values
    if free_frozen:
        backbones = tuple(value for value in backbones if value > 0)
    heads = grid.axis("head").values
    usable = _SHARE * seconds
    for rows, columns, n_seeds in _sizes(len(backbones), len(heads), seeds):
        shape = _rungs(rows * columns)
        n_trials = sum(shape) + n_seeds - 1
        weight = sum(n * _FACTOR**k for k, n in enumerate(shape))
        weight += (n_seeds - 1) * _FACTOR ** (len(shape) - 1)
        left = usable - n_trials * costs.trial_seconds
        steps = int(left / costs.step_seconds / weight)
        if steps >= _LEAST_STEPS:
            rungs = tuple((n, min(most_steps, steps * _FACTOR**k)) for k, n in enumerate(shape))
            return HalvingPlan(
                _thin(backbones, rows), _thin(heads, columns), _merge(rungs), n_seeds
            )
    cost = costs.of(_LEAST_STEPS) / _SHARE
    raise InputError(
        f"the budget leaves {duration(max(0.0, seconds))} for trials, and the shortest one takes "
        f"about {duration(cost)} ({_LEAST_STEPS} steps of {duration(costs.step_seconds)}, and "
        f"{duration(costs.trial_seconds)} of set-up and validation); give --budget more, or lower "
        "--batch-size or --train-images"
    )


def _sizes(rows: int, columns: int, seeds: int) -> Iterator[tuple[int, int, int]]:
    yield from ((rows, columns, n) for n in range(seeds, 0, -1))
    yield from ((rows, n, 1) for n in range(columns - 1, 0, -1))
    yield from ((n, 1, 1) for n in range(rows - 1, 0, -1))


def _rungs(n_points: int) -> list[int]:
    shape = [n_points]
    while shape[-1] // _FACTOR >= _FEWEST_IN_LAST_RUNG:
        shape.append(shape[-1] // _FACTOR)
    return shape


def _merge(rungs: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Drop rounds that would repeat the one before at the same, greatest length."""
    first_of_longest = [steps for _, steps in rungs].index(rungs[-1][1])
    return rungs[: first_of_longest + 1]


def _thin(values: Sequence[float], n: int) -> tuple[float, ...]:
    if n == 1:
        return (values[len(values) // 2],)
    return tuple(sorted(values[place] for place in coarse_first(len(values))[:n]))


@dataclass(frozen=True)
class HalvingStrategy:
    """The order of a plan's trials, as a function of what is finished.

    Attributes:
        plan: Who is trained for how long.
        options: Seeds and sizes.
        n_train: Training images.
        frozen_heads: Rates at which a head is trained on the frozen backbone; none where the
            method has no such thing.
    """

    plan: HalvingPlan
    options: SweepOptions
    n_train: int
    frozen_heads: tuple[float, ...]

    def choose(
        self, finished: Sequence[Trial], running: Sequence[TrialConfig], suggest: Suggest
    ) -> list[TrialConfig]:
        """Return the frozen row first, as one batch; then one cell at a time."""
        del suggest
        taken = {t.cell.key for t in finished} | {cell.key for cell in running}
        frozen = [c for c in self.frozen_cells() if c.key not in taken]
        if frozen:
            return frozen
        points = [{"backbone": b, "head": h} for b in self.plan.backbones for h in self.plan.heads]
        best: list[PointScore] = []
        for n, steps in self.plan.rungs:
            points = [score.rates for score in best[:n]] or points
            cells = [self.cell(rates, self.options.seed, steps) for rates in points]
            open_cells = [cell for cell in cells if cell.key not in taken]
            if open_cells:
                return open_cells[:1]
            keys = {cell.key for cell in cells}
            known = [trial for trial in finished if trial.cell.key in keys]
            best = rank_points(known)
            if len(known) < len(keys) or not best:
                return []  # others are still at it, or everything diverged
        return [cell for cell in self._last_cells(known, best) if cell.key not in taken][:1]

    def cell(
        self, rates: dict[str, float], seed: int, steps: int, purpose: Purpose = "grid"
    ) -> TrialConfig:
        """Make the cell of a point."""
        batch = min(self.options.batch_size, self.n_train)
        return TrialConfig(rates, seed, batch, self.n_train, steps, purpose)

    def frozen_cells(self) -> list[TrialConfig]:
        """Return the cells whose backbone rests: all epochs, every seed."""
        batch = min(self.options.batch_size, self.n_train)
        steps = self.options.epochs * -(-self.n_train // batch)
        return [
            self.cell({"backbone": 0.0, "head": head}, seed, steps)
            for head in self.frozen_heads
            for seed in self.options.all_seeds
        ]

    def _last_cells(
        self, trials: Sequence[Trial], scores: Sequence[PointScore]
    ) -> list[TrialConfig]:
        """Return more seeds of the best point, and its neighbours past the edge of the grid."""
        verdict = judge(trials, seed=self.options.seed)
        winner = verdict.lowest_loss(scores) if verdict is not None else None
        assert winner is not None, "some point did not diverge"
        best, steps = winner.rates, self.plan.final_steps
        cells = [
            self.cell(best, self.options.seed + k, steps) for k in range(1, self.plan.final_seeds)
        ]
        for name, values in (("backbone", self.plan.backbones), ("head", self.plan.heads)):
            for value in Axis(name, values).beyond(best[name], 1):
                cells.append(
                    self.cell({**best, name: value}, self.options.seed, steps, "extension")
                )
        return cells
