"""The words of the advice on moving weights, on trials whose answer is known."""

import numpy as np

from cliptune.sweeps.halving import Costs, HalvingPlan
from cliptune.sweeps.ranking import judge
from cliptune.sweeps.records import Trial, TrialConfig
from cliptune.sweeps.tower_advice import FrozenHead, advise_towers

N_VAL = 400
PLAN = HalvingPlan((1e-5, 1e-4), (1e-4, 1e-3, 1e-2), ((6, 12),), 1)


def make_trial(backbone, head, n_right, *, loss=1.0):
    cell = TrialConfig({"backbone": backbone, "head": head}, 0, 64, 1600, 12)
    hits = np.arange(N_VAL) < n_right
    return Trial(cell, n_right / N_VAL, loss, False, 1.0, (2.0, 1.0), hits)


def advise(trials, plan=PLAN):
    return advise_towers(
        trials,
        judge(trials),
        FrozenHead(0.5, np.arange(N_VAL) < 200),
        plan=plan,
        costs=Costs(1.0, 1.0),
        full_steps=125,
        method="full",
    )


def test_points_as_good_with_both_rates_changed_are_named():
    trials = [
        make_trial(1e-4, 1e-4, 302),
        make_trial(1e-4, 1e-3, 301),
        make_trial(1e-5, 1e-3, 301),
        make_trial(1e-5, 1e-2, 302, loss=2.0),
        make_trial(1e-4, 1e-2, 200),
    ]
    text = advise(trials)["text"]
    assert text.startswith("Unfreeze (full) at backbone rate 0.0001 and head rate 0.0001")
    assert "along the head rate: 0.0001 to 0.001." in text
    assert "with both rates changed (backbone with head): 1e-05 with 0.001 or 0.01." in text


def test_points_that_are_worse_or_differ_in_one_rate_are_not_named_so():
    trials = [
        make_trial(1e-4, 1e-4, 302),
        make_trial(1e-4, 1e-3, 301),
        make_trial(1e-5, 1e-4, 301),
        make_trial(1e-5, 1e-3, 250),
        make_trial(0.0, 1e-2, 302, loss=2.0),
    ]
    assert "both rates changed" not in advise(trials)["text"]


def test_of_points_as_good_the_lowest_loss_is_advised_and_the_most_accurate_named():
    trials = [
        make_trial(1e-4, 1e-3, 302, loss=1.2),
        make_trial(1e-5, 1e-3, 301, loss=0.9),
        make_trial(1e-6, 1e-3, 250, loss=0.8),
    ]
    advice = advise(trials)
    assert (advice["backbone"], advice["head"]) == (1e-5, 1e-3)
    assert advice["best_moving"]["val_accuracy"] == 301 / N_VAL
    assert "The highest accuracy, 75.5 %, is at backbone rate 0.0001" in advice["text"]


def test_where_nothing_that_moves_is_within_noise_the_most_accurate_is_compared():
    trials = [
        make_trial(0.0, 1e-2, 360),
        make_trial(1e-4, 1e-3, 302, loss=1.2),
        make_trial(1e-5, 1e-3, 280, loss=0.9),
    ]
    advice = advise(trials)
    assert advice["text"].startswith("Freeze the model")
    assert (advice["backbone"], advice["head"]) == (0.0, 1e-2)
    assert advice["best_moving"]["backbone"] == 1e-4
    assert "The highest accuracy, 90.0 %, is at a frozen backbone" in advice["text"]


def test_two_short_trainings_are_counted_and_nothing_is_concluded():
    """Even where they look much better than the frozen model."""
    trials = [make_trial(1e-5, 1e-3, 380), make_trial(1e-4, 1e-3, 390)]
    for plan, n in (
        (HalvingPlan((1e-5, 1e-4), (1e-3,), ((2, 60),), 1), 2),
        (HalvingPlan((1e-5, 1e-4), (1e-4, 1e-3, 1e-2), ((6, 4),), 1), 6),
    ):
        advice = advise(trials, plan)
        assert advice["text"].startswith(
            f"The time was enough for {n} pairs of rates, trained for "
        )
        assert f"{plan.final_steps} steps at most: too little to say" in advice["text"]
        assert advice["concluded"] is False
        assert advice["freeze"] is None
        assert advice["backbone"] is None


def test_few_trainings_of_all_epochs_are_judged():
    trials = [make_trial(1e-5, 1e-3, 380), make_trial(1e-4, 1e-3, 390)]
    advice = advise(trials, HalvingPlan((1e-5, 1e-4), (1e-3,), ((2, 125),), 1))
    assert advice["concluded"] is True
    assert advice["text"].startswith("Unfreeze")
