"""Uncertainty herding, against its definition written out."""

import numpy as np
import pytest

from cliptune.active.herding import Herd, kernel_width


@pytest.fixture(scope="module")
def plane():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 5)).astype(np.float32)
    return rows, rng.random(300), rows[:12] + 0.01


def greedy(rows, doubts, known, width, n):
    """Algorithm 1 with every gain computed anew for every choice."""
    distances = ((rows[:, None].astype(np.float64) - rows[None]) ** 2).sum(axis=2)
    kernel = np.exp(-distances / (2 * width))
    to_known = ((rows[:, None].astype(np.float64) - known[None]) ** 2).sum(axis=2)
    cover = np.exp(-to_known / (2 * width)).max(axis=1, initial=0)
    chosen = []
    for _ in range(n):
        gains = doubts @ np.maximum(kernel - cover[:, None], 0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        cover = np.maximum(cover, kernel[:, chosen[-1]])
    return chosen


@pytest.mark.parametrize("n_known", [0, 12])
def test_it_chooses_what_greed_without_shortcuts_chooses(plane, n_known):
    rows, doubts, known = plane
    found = Herd(rows, doubts, 0.6).choose(rows, known[:n_known], 40)
    assert [place for place, _ in found] == greedy(rows, doubts, known[:n_known], 0.6, 40)


def test_shares_are_what_is_newly_covered(plane):
    rows, doubts, known = plane
    herd = Herd(rows, doubts, 0.6)
    before = herd.covered(known)
    found = herd.choose(rows, known, 25)
    after = herd.covered(np.concatenate([known, rows[[place for place, _ in found]]]))
    assert sum(share for _, share in found) == pytest.approx(float((after - before).mean()), 1e-4)


def test_where_nothing_is_in_doubt_nothing_is_gained_and_all_can_be_had(plane):
    rows, _, known = plane
    found = Herd(rows, np.zeros(300), 0.6).choose(rows[:7], known, 7)
    assert sorted(place for place, _ in found) == list(range(7))


def test_the_width_falls_as_labels_come_and_near_duplicates_do_not_end_it(plane):
    rows, _, _ = plane
    assert kernel_width(rows[:200]) < kernel_width(rows[:20])
    twins = np.concatenate([rows[:40], rows[:5]])
    assert kernel_width(twins) == pytest.approx(kernel_width(rows[:40]), rel=0.5)
    assert kernel_width(np.ones((4, 5), np.float32)) > 0
