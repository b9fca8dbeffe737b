"""Folds: stratified, groups on one side, and never without a class to learn."""

import numpy as np
import pytest

from cliptune.selection.folds import plan_folds


def plan(labels, groups=None, **options):
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    return plan_folds(labels, groups, n_classes=int(labels.max()) + 1, seed=0, **options)


def test_every_image_is_held_once_in_each_repeat():
    folds = plan(np.arange(60) % 3)
    assert (folds.n_folds, folds.n_repeats) == (10, 6)
    assert np.bincount(folds.rows).tolist() == [6] * 60
    assert np.bincount(folds.first_repeat().rows).tolist() == [1] * 60
    for learned, held, place in folds.splits():
        assert sorted([*learned, *held]) == list(range(60))
        assert folds.rows[place].tolist() == held.tolist()


def test_folds_are_stratified():
    labels = np.repeat([0, 1, 2], [50, 100, 150])
    for _, held, _ in plan(labels).splits():
        assert np.bincount(labels[held], minlength=3).tolist() == [5, 10, 15]


def test_groups_stay_together():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 25, 120)
    folds = plan(np.arange(120) % 4, groups)
    for learned, held, _ in folds.splits():
        assert not set(groups[learned]) & set(groups[held])


def test_a_class_with_a_single_image_or_group_is_never_held_out():
    labels = [0] * 10 + [1] + [2] * 4
    groups = [*range(11), 99, 99, 99, 99]
    folds = plan(labels, groups)
    assert folds.never_held.tolist() == [10, 11, 12, 13, 14]
    for learned, _, _ in folds.splits():
        assert set(np.asarray(labels)[learned]) == {0, 1, 2}


def test_few_images_are_divided_often_and_many_once():
    sizes = {n: plan(np.arange(n) % 2) for n in (40, 400, 4000, 13_000)}
    assert [(f.n_folds, f.n_repeats) for f in sizes.values()] == [(10, 6), (5, 2), (5, 1), (1, 1)]
    assert len(sizes[13_000].rows) == 2600
    assert "one cut of 2600 images" in str(sizes[13_000])


@pytest.mark.parametrize(("cut", "held"), [(0.2, 20), (0.5, 50)])
def test_one_cut_of_a_share(cut, held):
    folds = plan(np.arange(100) % 2, cut=cut)
    assert len(folds.held) == 1
    assert len(folds.rows) == held


def test_one_image_a_class_leaves_nothing_to_hold_out():
    assert len(plan([0, 1, 2]).rows) == 0
