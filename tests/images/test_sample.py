import numpy as np
import pytest

from cliptune.errors import InputError
from cliptune.images import sample_rows


def test_every_class_keeps_its_share_to_within_one_image():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, -1], [600, 300, 90, 10]))
    for seed in range(5):
        rows = sample_rows(labels, 100, seed=seed)
        assert len(set(rows.tolist())) == 100
        assert (np.diff(rows) > 0).all()
        for label, share in ((0, 60), (1, 30), (2, 9), (-1, 1)):
            assert abs((labels[rows] == label).sum() - share) <= 1


def test_the_seed_decides_and_every_row_can_be_drawn():
    labels = np.zeros(20, np.int64)
    draws = [sample_rows(labels, 5, seed=seed).tolist() for seed in range(60)]
    assert draws[0] == sample_rows(labels, 5, seed=0).tolist()
    assert draws[0] != draws[1]
    counts = np.bincount(np.concatenate(draws), minlength=20)
    assert (counts > 3).all()  # 15 expected


def test_more_than_there_are_is_all_and_none_is_refused():
    labels = np.array([0, 1, 1])
    assert sample_rows(labels, 9, seed=0).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="at least 1"):
        sample_rows(labels, 0, seed=0)
