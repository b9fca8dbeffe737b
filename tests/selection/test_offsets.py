"""Thresholds of classes: the best ones by brute force, and what keeps them from running away."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from test_held_groups import make_task

from cliptune.choosing import choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.errors import InputError
from cliptune.selection.offsets import choose_offsets, cross_fitted_offsets

SCORES = {
    "accuracy": accuracy_score,
    "balanced-accuracy": balanced_accuracy_score,
    "macro-f1": lambda labels, answers: f1_score(labels, answers, average="macro"),
}


def prior_of(labels):
    return np.log(np.bincount(labels) / len(labels))


def make_scores(sizes, seed, strength=2.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    scores = rng.normal(size=(len(labels), len(sizes)))
    scores[np.arange(len(labels)), labels] += strength
    return scores + np.log(np.asarray(sizes)), labels


def test_one_border_by_hand():
    """Five of class 0 and three of class 1; a border at -1.5 finds all of the rare class.

    Recalls are 5/5 and 0/3 at 0; 4/5 and 3/3 just above -1 and anywhere up to -2.
    """
    rare = np.array([-4.0, -3.5, -3.0, -2.0, -0.9, -0.5, -0.6, -1.0])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    scores = np.stack([np.zeros(8), rare], axis=1)
    offsets = choose_offsets(scores, labels, prior_of(labels), select="balanced-accuracy", speak=0)
    assert 1 < offsets[1] - offsets[0] < 2
    assert offsets.mean() == pytest.approx(0)
    answers = (scores + offsets).argmax(axis=1)
    assert balanced_accuracy_score(labels, answers) == pytest.approx((4 / 5 + 1) / 2)


@pytest.mark.parametrize("select", SCORES)
@pytest.mark.parametrize("seed", range(8))
def test_two_classes_reach_the_best_of_all_thresholds(select, seed):
    scores, labels = make_scores((30, 9), seed, strength=1.0)
    prior = prior_of(labels)
    offsets = choose_offsets(scores, labels, prior, select=select, speak=0)
    margins = scores[:, 1] - scores[:, 0]
    reach = 2 * (np.ptp(prior) + np.log(2))  # both classes may move
    borders = np.sort(-margins)
    borders = [b for b in (*(borders[1:] + borders[:-1]) / 2, 0.0) if abs(b) < reach]
    best = max(SCORES[select](labels, margins + b > 0) for b in borders)
    found = SCORES[select](labels, (scores + offsets).argmax(axis=1))
    assert found == pytest.approx(best)


@pytest.mark.parametrize("select", SCORES)
def test_more_classes_lose_nothing_and_no_class_leaves_the_range(select):
    scores, labels = make_scores((80, 40, 20, 10, 5), 1)
    prior = prior_of(labels)
    offsets = choose_offsets(scores, labels, prior, select=select)
    before = SCORES[select](labels, scores.argmax(axis=1))
    assert SCORES[select](labels, (scores + offsets).argmax(axis=1)) >= before
    assert np.ptp(offsets) <= 2 * (np.ptp(prior) + np.log(2))
    again = choose_offsets(scores, labels, prior, select=select)
    np.testing.assert_array_equal(offsets, again)


def test_two_images_do_not_move_a_class_and_three_do():
    for n_rare, moves in ((2, False), (3, True)):
        labels = np.repeat([0, 1], [40, n_rare])
        rare = np.where(labels == 1, -0.3, -8.0)
        scores = np.stack([np.zeros(len(labels)), rare], axis=1)
        equal = np.log([0.5, 0.5])  # so that there is no prior to follow
        found = choose_offsets(scores, labels, equal, select="balanced-accuracy")
        assert bool(found.any()) == moves
        six = np.tile(scores, (6, 1)), np.tile(labels, 6)  # six answers an image are no more images
        found = choose_offsets(*six, equal, select="balanced-accuracy", repeats=6)
        assert bool(found.any()) == moves


def test_images_of_a_group_are_moved_by_others_and_chance_gains_nothing():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    scores = rng.normal(size=(100, 3))
    groups = np.arange(100) // 2
    cross = cross_fitted_offsets(
        scores, labels, groups, prior_of(labels), select="balanced-accuracy", repeats=1, times=5,
        seed=0,
    )  # fmt: skip
    reached = []
    for moved in cross:
        change = moved - scores
        np.testing.assert_allclose(change[0::2], change[1::2])
        reached.append(balanced_accuracy_score(labels, moved.argmax(axis=1)))
    own = scores + choose_offsets(scores, labels, prior_of(labels), select="balanced-accuracy")
    assert np.mean(reached) < balanced_accuracy_score(labels, own.argmax(axis=1))
    assert np.mean(reached) < 1 / 3 + 0.08


def make_uneven():
    task = make_task()
    rows = np.concatenate([np.flatnonzero(task.labels == c)[:n] for c, n in enumerate((20, 9, 4))])
    return replace(task, train=np.sort(rows))


def test_what_is_kept_is_in_the_bias_and_nothing_else_changes():
    task = make_uneven()
    asked = {"options": {}, "select": "balanced-accuracy", "abstain_precision": 0.5}
    plain = choose_methods(task, ["linear"], **asked)
    moved = choose_methods(task, ["linear"], **asked, class_thresholds=True)
    found = moved.thresholds
    assert plain.thresholds is None
    assert found.kept == (found.gain.difference > 0)
    before, after = plain.fitted["linear"], moved.fitted["linear"]
    np.testing.assert_array_equal(before.head.weight_, after.head.weight_)
    change = (after.head.bias_ - before.head.bias_) / before.temperature
    np.testing.assert_allclose(change, found.offsets if found.kept else 0, atol=1e-5)
    rows = np.setdiff1d(np.arange(len(task.labels)), task.train)
    _, probabilities = score_fitted(task, before, rows)
    _, shifted = score_fitted(task, after, rows)
    weighed = probabilities * np.exp(found.offsets if found.kept else 0)
    weighed = weighed / weighed.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shifted, weighed, atol=1e-5)
    assert found.kept, "these rows gain; the lines above tell little otherwise"


def test_a_method_without_a_bias_keeps_its_answers():
    task = make_uneven()
    found = choose_methods(
        task, ["knn"], options={}, select="macro-f1", class_thresholds=True
    ).thresholds
    assert not found.kept
    assert "knn has no bias to move" in found.reason
    with pytest.raises(InputError, match="log-loss"):
        choose_methods(task, ["knn"], options={}, select="log-loss", class_thresholds=True)


def test_one_image_a_class_leaves_nothing_to_choose_on():
    task = make_uneven()
    rows = np.array([np.flatnonzero(task.labels == c)[0] for c in range(3)])
    found = choose_methods(
        replace(task, train=rows), ["linear"], options={}, class_thresholds=True
    ).thresholds
    assert not found.kept
    assert "no image could be held out" in found.reason
