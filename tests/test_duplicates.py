import numpy as np

from cliptune.duplicates import find_duplicates, group_duplicates


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def vectors(n, seed=0):
    """Random directions around a large common one, as embeddings are."""
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(n, 32)) + 5)


def test_finds_planted_pairs_across_blocks_and_no_others(monkeypatch):
    monkeypatch.setattr("cliptune.duplicates._BLOCK", 7)
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
    groups = group_duplicates(find_duplicates(rows), 12)
    assert groups[1] == groups[5] == groups[9]
    assert groups[2] == groups[8] != groups[1]
    assert len(set(groups.tolist())) == 9


def test_no_pairs_gives_each_its_own_group():
    assert len(set(group_duplicates(find_duplicates(vectors(6)), 6).tolist())) == 6
