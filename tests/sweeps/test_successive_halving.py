"""Successive halving: what fits a budget, and that the rounds end whatever diverges."""

import numpy as np
import pytest

from cliptune.errors import InputError
from cliptune.sweeps.grid import parse_grid
from cliptune.sweeps.halving import Costs, HalvingPlan, HalvingStrategy, plan_halving
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.records import Trial
from cliptune.sweeps.tower_advice import comparable

GRID = parse_grid("backbone=0,1e-5,1e-4,1e-3 head=1e-3,1e-2,1e-1", known=("backbone", "head"))
OPTIONS = SweepOptions(method="full", epochs=2, batch_size=16, seeds=2)


def make_plan(seconds, **changes):
    settings = {"most_steps": 1000, "seeds": 2, "free_frozen": True, **changes}
    return plan_halving(GRID, Costs(1.0, 2.0), seconds=seconds, **settings)


def cost_of(plan):
    trials = [steps for n, steps in plan.rungs for _ in range(n)]
    trials += [plan.final_steps] * (plan.final_seeds - 1)
    return sum(Costs(1.0, 2.0).of(steps) for steps in trials)


@pytest.mark.parametrize("seconds", [40, 120, 300, 600, 5000])
def test_a_plan_keeps_to_its_budget_and_uses_most_of_it(seconds):
    plan = make_plan(seconds)
    assert cost_of(plan) <= seconds
    if seconds < 5000:
        assert cost_of(plan) >= 0.4 * seconds
    assert all(steps >= 4 for _, steps in plan.rungs)
    assert HalvingPlan.from_dict(plan.to_dict()) == plan


def test_more_time_means_a_finer_grid_and_longer_trainings():
    small, large = make_plan(40), make_plan(600)
    assert len(large.backbones) * len(large.heads) == 9
    assert len(small.backbones) * len(small.heads) < 9
    assert large.final_steps > small.final_steps
    assert [n for n, _ in large.rungs] == [9, 3]


def test_no_training_is_longer_than_all_epochs():
    plan = make_plan(5000, most_steps=10)
    assert plan.rungs == ((9, 10),)


def test_a_budget_below_one_trial_says_what_one_costs():
    with pytest.raises(InputError, match=r"takes about 7.1 s \(4 steps of 1.0 s"):
        make_plan(5)


def play(strategy, accuracy, diverges=lambda rates: False, loss=lambda rates: 1.0):
    """Train whatever is asked for until nothing is."""
    finished = []
    while cells := strategy.choose(finished, [], None):
        for cell in cells:
            hits = np.arange(1000) < 1000 * accuracy(cell)
            ending = (loss(cell.rates), diverges(cell.rates))
            finished.append(Trial(cell, float(hits.mean()), *ending, 1.0, (1.0,), hits))
        assert len(finished) < 200
    return finished


def test_the_best_third_goes_on_and_the_best_gets_more_seeds():
    plan = make_plan(600)
    strategy = HalvingStrategy(plan, OPTIONS, 64, (1e-3, 1e-2))

    def accuracy(cell):
        return 0.9 - 0.1 * abs(np.log10(cell.rates["backbone"] or 1e-9) + 4) / 9

    finished = play(strategy, accuracy)
    keys = [trial.cell.key for trial in finished]
    assert len(set(keys)) == len(keys)
    frozen = [t for t in finished if t.cell.rates["backbone"] == 0]
    assert len(frozen) == 2 * 2
    assert {t.cell.steps for t in frozen} == {8}
    last = [t for t in finished if t.cell.steps == plan.final_steps]
    assert {t.cell.rates["backbone"] for t in last if t.cell.purpose == "grid"} == {1e-4}
    assert sum(t.cell.seed == 1 for t in last) == 1
    assert set(keys) >= {t.cell.key for t in comparable(finished, frozen_row=True)}


def test_more_seeds_go_to_the_lowest_loss_of_those_as_good():
    plan = make_plan(5000, most_steps=10)
    strategy = HalvingStrategy(plan, OPTIONS, 64, ())
    finished = play(
        strategy,
        lambda cell: 0.801 if cell.rates["backbone"] == 1e-4 else 0.8,
        loss=lambda rates: 0.5 if rates == {"backbone": 1e-5, "head": 1e-2} else 1.0,
    )
    again = [t.cell.rates for t in finished if t.cell.seed == 1]
    assert again == [{"backbone": 1e-5, "head": 1e-2}]


def test_the_best_at_the_edge_is_followed_beyond_it():
    strategy = HalvingStrategy(make_plan(600), OPTIONS, 64, ())
    finished = play(strategy, lambda cell: 0.5 + 0.05 * np.log10(cell.rates["backbone"] * 1e6))
    beyond = [t.cell.rates["backbone"] for t in finished if t.cell.purpose == "extension"]
    assert 1e-2 in beyond


@pytest.mark.parametrize("limit", [0.0, 5e-5])
def test_rounds_end_when_most_or_all_diverge(limit):
    strategy = HalvingStrategy(make_plan(600), OPTIONS, 64, ())
    finished = play(strategy, lambda cell: 0.5, lambda rates: rates["backbone"] > limit)
    longest = [t for t in finished if t.cell.steps == strategy.plan.final_steps]
    assert bool(longest) == (limit > 0)
