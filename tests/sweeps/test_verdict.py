"""The noise band, the middle of it, and rules of thumb, on trials whose answer is known."""

import numpy as np
import pytest

from cliptune.sweeps.advice import advise_head
from cliptune.sweeps.ranking import judge, rank_points, seeds_interval
from cliptune.sweeps.records import Trial, TrialConfig, pack_hits, unpack_hits
from cliptune.sweeps.scaling import measure_scaling


def make_trial(lr, hits, *, seed=0, diverged=False, loss=1.0, purpose="grid", batch=256, n=1000):
    cell = TrialConfig({"lr": lr, "wd": 0.0}, seed, batch, n, 100, purpose)
    hits = np.asarray(hits, dtype=bool)
    return Trial(cell, float(hits.mean()), loss, diverged, 0.5, (2.0, float("nan")), hits)


def draw(share, *, n=2000, seed=0):
    return np.random.default_rng(seed).random(n) < share


def test_trials_survive_json():
    trial = make_trial(0.1, draw(0.4, n=77), diverged=True, loss=float("nan"))
    again = Trial.from_dict(trial.to_dict())
    assert again.cell == trial.cell
    assert (again.hits == trial.hits).all()
    assert np.isnan(again.val_loss)
    assert np.isnan(again.losses[1])
    assert (unpack_hits(pack_hits(trial.hits), 77) == trial.hits).all()


def test_the_band_holds_what_cannot_be_told_from_the_best_and_stops_at_the_first_gap():
    good = draw(0.8)
    near = good.copy()
    near[np.flatnonzero(good)[:9]] = False
    near[np.flatnonzero(~good)[:7]] = True
    trials = [
        make_trial(1e-4, draw(0.5, seed=1)),
        make_trial(1e-3, near),
        make_trial(1e-2, good),
        make_trial(1e-1, draw(0.6, seed=2)),
        make_trial(1e0, near),
    ]
    verdict = judge(trials)
    assert verdict.best.rates["lr"] == 1e-2
    assert verdict.band("lr") == (1e-3, 1e-2)
    assert {b.score.rates["lr"] for b in verdict.within} == {1e-3, 1e-2, 1.0}
    assert verdict.to_dict("lr")["n_val"] == 2000


def test_the_interval_of_a_difference_is_that_of_the_closed_form():
    """For one seed: mean difference +- 1.96 sd / sqrt(n)."""
    first, second = draw(0.8, seed=3), draw(0.7, seed=4)
    verdict = judge([make_trial(0.1, first), make_trial(1.0, second)])
    other = next(b for b in verdict.behind if b.score.rates["lr"] == 1.0)
    difference = second.astype(float) - first.astype(float)
    half = 1.96 * difference.std() / np.sqrt(len(first))
    assert other.difference == pytest.approx(difference.mean())
    assert other.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert other.high == pytest.approx(difference.mean() + half, abs=0.1 * half)


def test_seeds_that_disagree_widen_the_interval():
    same = rank_points([make_trial(0.1, draw(0.7), seed=s) for s in range(3)])[0]
    apart = [make_trial(0.1, draw(p), seed=s) for s, p in enumerate((0.5, 0.7, 0.9))]
    other = rank_points(apart)[0]
    widths = [high - low for low, high in (seeds_interval(same), seeds_interval(other))]
    assert widths[1] > 2 * widths[0]


def test_what_diverged_is_never_best_nor_within_noise():
    hits = draw(0.8)
    verdict = judge([make_trial(0.1, draw(0.6, seed=5)), make_trial(1.0, hits, diverged=True)])
    assert verdict.best.rates["lr"] == 0.1
    assert [b.score.rates["lr"] for b in verdict.within] == [0.1]
    assert judge([make_trial(1.0, hits, diverged=True)]) is None
    assert judge([]) is None


def test_of_rates_that_are_equally_good_the_lowest_loss_is_advised():
    good = draw(0.8)
    trials = [
        make_trial(lr, good, loss=loss, seed=seed)
        for lr, loss in ((1e-3, 0.9), (1e-2, 0.5), (1e-1, 0.7))
        for seed in (0, 1)
    ]
    advice = advise_head(trials, judge(trials), draw(0.5, seed=9), method="dual-linear", axis="lr")
    assert advice.rates["lr"] == 1e-2
    assert advice.train
    assert advice.edge is None
    same = advise_head(trials, judge(trials), good, method="dual-linear", axis="lr")
    assert not same.train
    assert same.text.startswith("Do not train")


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_the_exponent_of_the_batch_is_found(exponent):
    """Losses are a parabola in log lr whose minimum moves with a known power of the batch."""
    rates = 10.0 ** np.arange(-4, 1, 0.5)
    trials = []
    for batch, purpose in ((256, "grid"), (64, "batch-probe")):
        best = np.log(0.03) + exponent * np.log(batch / 256)
        for rate in rates:
            loss = 1 + 0.1 * (np.log(rate) - best) ** 2
            trials.append(make_trial(rate, [True], loss=loss, purpose=purpose, batch=batch))
    (scaling,) = measure_scaling(trials, axis="lr")
    assert scaling.exponent == pytest.approx(exponent, abs=0.02)
    assert scaling.rates[0] == pytest.approx(0.03, rel=0.02)
    assert ("hardly moves" in scaling.sentence) == (exponent == 0)
    assert scaling.inside
