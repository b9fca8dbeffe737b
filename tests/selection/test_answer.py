"""The rule: what is chosen, when training pays, and when the labels cannot tell."""

import math

import numpy as np
import pytest

from cliptune.selection.answer import Answer, answer, nothing_held_out
from cliptune.selection.folds import plan_folds
from cliptune.selection.judging import Judged, compare
from cliptune.selection.sentence import recommendation


def judged(hits, losses=None, folds=10):
    hits = np.asarray(hits, float)
    losses = np.where(hits > 0, 0.1, 2.0) if losses is None else np.asarray(losses, float)
    return Judged(np.arange(len(hits)), hits, losses, folds, 1 / (folds - 1))


def drawn(n, accuracy, seed=0):
    hits = np.zeros(n)
    hits[: round(n * accuracy)] = 1
    return np.random.default_rng(seed).permutation(hits)


def test_a_large_gain_says_train():
    found = answer(
        {"zero-shot": judged(drawn(200, 0.5)), "linear": judged(drawn(200, 0.9, 1))},
        margin=0.01,
        chance=0.25,
    )
    assert (found.method, found.answer, found.labels_needed) == ("linear", "train", None)
    assert found.gain.low > 0
    assert found.gain.difference == pytest.approx(0.4, abs=0.02)


def test_equal_methods_on_many_images_say_do_not_train():
    hits = drawn(2000, 0.9)
    other = hits.copy()
    other[np.flatnonzero(hits == 0)[:2]] = 1
    found = answer({"zero-shot": judged(hits), "linear": judged(other)}, margin=0.01, chance=0.1)
    assert (found.method, found.answer) == ("zero-shot", "do-not-train")
    assert found.gain.below(0.01) > 0.95


def test_few_images_cannot_tell_and_ship_the_best_guess():
    hits = drawn(12, 0.75)
    other = hits.copy()
    other[np.flatnonzero(hits == 0)[:2]] = 1
    found = answer({"zero-shot": judged(hits), "linear": judged(other)}, margin=0.01, chance=0.4)
    assert (found.method, found.answer) == ("linear", "undecided")
    assert found.labels_needed > 12


def test_guessing_recommends_nothing():
    found = answer(
        {"zero-shot": judged(drawn(300, 0.33)), "linear": judged(drawn(300, 0.35, 1))},
        margin=0.01,
        chance=1 / 3,
    )
    assert found.method is None
    assert "Nothing is recommended" in recommendation(found, None)


def test_few_images_near_chance_are_no_proof_of_guessing():
    found = answer(
        {"zero-shot": judged(drawn(12, 0.33)), "linear": judged(drawn(12, 0.5, 1))},
        margin=0.01,
        chance=1 / 3,
    )
    assert found.method is not None


def test_within_a_standard_error_the_lower_loss_decides():
    first, second = drawn(60, 0.7), drawn(60, 0.72, 1)
    luckier = judged(second, np.full(60, 1.2))
    surer = judged(first, np.full(60, 0.6))
    found = answer(
        {"zero-shot": judged(drawn(60, 0.2)), "linear": surer, "knn": luckier},
        margin=0.01,
        chance=0.2,
    )
    assert found.best == "linear"


def slightly_better(hits, more):
    better = hits.copy()
    better[np.flatnonzero(hits == 0)[:more]] = 1
    return better


def test_a_cheaper_method_shown_as_good_takes_the_place():
    hits = drawn(3000, 0.8)
    methods = {"zero-shot": judged(drawn(3000, 0.3)), "linear": judged(hits)}
    methods["knn"] = judged(slightly_better(hits, 9))  # 0.3 points, and it keeps every image
    found = answer(methods, margin=0.01, chance=0.1)
    assert (found.best, found.method, found.answer) == ("knn", "linear", "train")
    strict = answer(methods, margin=0.0, chance=0.1)
    assert strict.method == "knn"


def test_among_methods_that_cost_the_same_no_accuracy_is_given_away():
    hits = drawn(3000, 0.8)
    methods = {"zero-shot": judged(drawn(3000, 0.3)), "prototype": judged(hits)}
    methods["linear"] = judged(slightly_better(hits, 9))
    assert answer(methods, margin=0.01, chance=0.1).method == "linear"


def test_the_favourite_stays_until_another_is_shown_to_be_better():
    hits = drawn(60, 0.7)
    methods = {"zero-shot": judged(drawn(60, 0.2)), "blend": judged(hits)}
    methods["prototype"] = judged(slightly_better(hits, 2))
    assert answer(methods, margin=0.01, chance=0.1).method == "blend"
    methods["prototype"] = judged(slightly_better(hits, 12))
    found = answer(methods, margin=0.01, chance=0.1)
    assert (found.method, found.answer) == ("prototype", "train")


def test_what_the_favourite_reaches_is_not_flattered_by_a_choice():
    hits = drawn(100, 0.7)
    methods = {"zero-shot": judged(drawn(100, 0.2)), "blend": judged(hits)}
    methods |= {name: judged(drawn(100, 0.7, k)) for k, name in enumerate(("linear", "knn"), 1)}
    assert answer(methods, margin=0.01, chance=0.1).score == pytest.approx(0.7)


def test_few_images_on_which_zero_shot_is_as_often_right_and_surer_need_no_training():
    hits = drawn(16, 0.9)
    methods = {"zero-shot": judged(hits, np.full(16, 0.1)), "blend": judged(hits, np.full(16, 0.2))}
    found = answer(methods, margin=0.01, chance=0.5)
    assert (found.method, found.answer) == ("zero-shot", "undecided")
    methods["zero-shot"] = judged(hits, np.full(16, 0.3))
    assert answer(methods, margin=0.01, chance=0.5).method == "blend"


def test_the_error_is_nadeau_and_bengios():
    rng = np.random.default_rng(0)
    first, second = (rng.random(500) < share for share in (0.6, 0.7))
    gain = compare(judged(first), judged(second))
    change = second.astype(float) - first
    # J folds of n / J images each: (1 / J + n_held / n_learned) s^2, s^2 = var / (n / J)
    expected = math.sqrt((1 / 10 + 1 / 9) * change.var() / 50)
    assert gain.error == pytest.approx(expected, rel=0.01)
    assert gain.difference == pytest.approx(change.mean())


def test_a_single_cut_has_all_its_images_in_one_fold():
    rng = np.random.default_rng(0)
    first, second = (rng.random(500) < share for share in (0.6, 0.7))
    cut = [Judged(np.arange(500), hits * 1.0, hits * 1.0, 1, 1 / 4) for hits in (first, second)]
    change = second.astype(float) - first
    expected = math.sqrt((1 + 1 / 4) * change.var() / 500)
    assert compare(*cut).error == pytest.approx(expected, rel=0.01)


def test_the_gain_is_freed_of_the_luck_of_having_been_chosen():
    """Ten methods that are equally good: the best of them is not better than the others."""
    flattered, fair = [], []
    names = ("prototype", "discriminant", "linear", "linear-sgd", "dual-linear", "knn", "cache")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        methods = {name: judged(rng.random(80) < 0.6) for name in names}
        methods["zero-shot"] = judged(rng.random(80) < 0.6)
        found = answer(methods, margin=0.01, chance=0.1)
        flattered.append(methods[found.best].accuracy)
        fair.append(found.score)
    assert abs(np.mean(fair) - 0.6) < 0.5 * abs(np.mean(flattered) - 0.6)


def test_repeats_are_averaged_over_images():
    labels = np.arange(20) % 2
    folds = plan_folds(labels, np.arange(20), n_classes=2, seed=0)
    probabilities = np.full((len(folds.rows), 2), 0.5)
    probabilities[:, 0] += 0.1
    found = Judged.of(probabilities, labels, folds)
    assert found.images.tolist() == list(range(20))
    assert found.hits.tolist() == (labels == 0).tolist()
    assert found.score == 0.5
    assert found.log_loss == pytest.approx(-(math.log(0.6) + math.log(0.5)) / 2)
    assert found.folds == 60


def test_an_answer_survives_json():
    found = answer(
        {"zero-shot": judged(drawn(50, 0.5)), "linear": judged(drawn(50, 0.8, 1))},
        margin=0.02,
        chance=0.3,
    )
    assert Answer.from_dict(found.to_dict()) == found
    guess = Answer.from_dict(nothing_held_out("discriminant", 0.01).to_dict())
    assert guess.gain.n == 0
    assert guess.labels_needed is None
