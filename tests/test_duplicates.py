import tracemalloc

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from cliptune.splits.duplicates import (
    DEFAULT_SIMILARITY,
    find_duplicates,
    group_duplicates,
    join_groups,
)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def vectors(n, seed=0):
    """Random directions around a large common one, as embeddings are."""
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(n, 32)) + 5)


def test_finds_planted_pairs_across_blocks_and_no_others(monkeypatch):
    monkeypatch.setattr("cliptune.splits.duplicates._BLOCK", 7)
    rows = vectors(50)
    rows[40] = rows[3]
    rows[41] = unit(rows[[3]] + 1e-3)[0]
    pairs = find_duplicates(rows)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {
        (3, 40),
        (3, 41),
        (40, 41),
    }


def test_a_common_direction_does_not_make_duplicates():
    rows = vectors(200)
    assert (rows @ rows.T).min() > 0.9
    assert len(find_duplicates(rows)) == 0


def test_finds_pairs_between_two_sets():
    train, test = vectors(30), vectors(10, seed=1)
    test[4] = train[20]
    pairs = find_duplicates(train, test)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([20], [4])
    assert pairs.similarity[0] > 0.999


def test_groups_are_connected_components():
    rows = vectors(12)
    rows[5] = rows[1]
    rows[9] = rows[1]
    rows[8] = rows[2]
    groups = group_duplicates(rows)
    assert groups[1] == groups[5] == groups[9]
    assert groups[2] == groups[8] != groups[1]
    assert len(set(groups.tolist())) == 9


def test_no_pairs_gives_each_its_own_group():
    assert len(set(group_duplicates(vectors(6)).tolist())) == 6


@pytest.mark.parametrize("block", [5, 512])
def test_groups_are_those_of_all_pairs(block, monkeypatch):
    """Chains across blocks, and rows with more partners than are listed."""
    monkeypatch.setattr("cliptune.splits.duplicates._BLOCK", block)
    rng = np.random.default_rng(3)
    rows = vectors(9)[rng.integers(9, size=200)]
    rows = np.concatenate([rows, vectors(20, seed=8)])
    centred = unit(rows - rows.mean(axis=0))
    expected = connected_components(centred @ centred.T >= DEFAULT_SIMILARITY)[1]
    found = group_duplicates(rows)
    assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == len(set(expected))
    assert len(set(found.tolist())) == len(set(expected))


def test_a_picture_that_comes_thousands_of_times_fills_no_memory():
    """Its pairs grow with the square of its copies; what is kept grows with the copies."""
    rows = np.repeat(vectors(4), 1000, axis=0)
    tracemalloc.start()
    pairs, groups = find_duplicates(rows), group_duplicates(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pairs.n_all == 4 * 1000 * 999 // 2
    assert len(pairs) <= 20 * len(rows)
    assert np.bincount(pairs.second).max() == 20
    assert np.bincount(groups).tolist() == [1000] * 4
    assert peak < 60e6  # two million pairs of 20 bytes, sorted, were twice that


def test_named_groups_join_those_of_near_duplicates():
    groups = np.array([0, 0, 1, 2, 3, 4])
    names = np.array(["a", "", "a", "b", "", "b"])
    joined = join_groups(groups, names)
    assert joined[0] == joined[1] == joined[2]  # 2 bears the name of 0, and 1 looks like 0
    assert joined[3] == joined[5]
    assert len(set(joined[[0, 3, 4]].tolist())) == 3
    nobody = np.array([""] * 6)
    assert np.array_equal(join_groups(groups, nobody), groups)


@pytest.mark.parametrize("many", [False, True], ids=["few pairs", "one block full of pairs"])
@pytest.mark.parametrize("varying", [40, 400], ids=["few directions", "all directions"])
def test_bounds_pass_over_no_pair(many, varying):
    """Pairs just above and just below the similarity, in rows that few numbers describe or none."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((2500, 400)) * (np.arange(400) < varying) + 1e-3
    near = rng.integers(1100, size=300)
    share = rng.uniform(0.1, 0.4, size=(300, 1))  # cosines of 0.9 to 0.99
    rows[2000:2300] = rows[near] + share * rng.permuted(rows[near], axis=1)
    if many:
        rows[1100:1500] = rows[1100] + 0.01 * rng.standard_normal((400, 400))
    rows = unit(rows)
    for first, second in ((rows, None), (rows[:1200], rows[1200:])):
        centred = unit(first - first.mean(axis=0)), unit(rows - rows.mean(axis=0))
        if second is None:
            cosines = np.triu(centred[0] @ centred[0].T, 1)
        else:
            cosines = centred[1][:1200] @ centred[1][1200:].T
        unsure = np.abs(cosines - DEFAULT_SIMILARITY) < 1e-6
        found = np.zeros(cosines.shape, bool)
        pairs = find_duplicates(first, second)
        found[pairs.first, pairs.second] = True
        wanted = (cosines >= DEFAULT_SIMILARITY) & ~unsure
        assert wanted.sum() > 20
        assert (np.abs(cosines - DEFAULT_SIMILARITY) < 0.01).sum() > 0
        assert abs(pairs.n_all - wanted.sum()) <= unsure.sum()
        if not many:
            assert not (found != wanted)[~unsure].any()
        np.testing.assert_allclose(pairs.similarity, cosines[pairs.first, pairs.second], atol=2e-6)
