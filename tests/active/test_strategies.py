"""What is proposed for labels: clusters first, then doubt; and which labels are looked at again."""

import numpy as np
import pytest

from cliptune.active.gain import expect_gain
from cliptune.active.pool import LabelPool
from cliptune.active.strategies import choose_centroids, choose_doubtful, choose_images
from cliptune.active.suspects import find_suspects, rank_label_errors


@pytest.fixture(scope="module")
def blobs():
    """Eight clusters of very different size: rows, and the cluster of each."""
    rng = np.random.default_rng(0)
    sizes = (200, 100, 60, 40, 20, 20, 10, 10)
    own = np.repeat(np.arange(8), sizes)
    rows = 4 * rng.normal(size=(8, 24))[own] + 0.5 * rng.normal(size=(len(own), 24))
    return rows.astype(np.float32), own


def make_pool(rows, labels=None, probabilities=None, closed=()):
    n = len(rows)
    labels = np.full(n, -1) if labels is None else labels
    is_open = labels < 0
    is_open[list(closed)] = False
    flat = np.full((n, 4), 0.25) if probabilities is None else probabilities
    return LabelPool(rows, labels, is_open, flat)


def test_without_labels_every_cluster_gets_one_of_its_typical_images(blobs):
    rows, own = blobs
    picks = choose_images(make_pool(rows, probabilities=np.ones((len(rows), 1))), 8)
    assert {pick.why for pick in picks} == {"centroid"}
    assert sorted(own[pick.row] for pick in picks) == list(range(8))
    for pick in picks:
        members = rows[own == own[pick.row]]
        distances = np.linalg.norm(members - members.mean(axis=0), axis=1)
        assert np.linalg.norm(rows[pick.row] - members.mean(axis=0)) <= np.median(distances)
    assert picks[0].stands_for == pytest.approx(200 / 460)  # the largest first


def test_clusters_with_a_label_wait_for_those_without(blobs):
    rows, own = blobs
    labels = np.full(len(rows), -1)
    assert {p.why for p in choose_images(make_pool(rows), 40)[25:]} == {"doubt"}
    labels[[np.flatnonzero(own == c)[0] for c in range(4)]] = 0
    picks = choose_centroids(make_pool(rows, labels), 4)
    assert sorted(own[pick.row] for pick in picks) == [4, 5, 6, 7]


def test_doubtful_images_come_from_different_places(blobs):
    rows, own = blobs
    sure = np.tile([0.97, 0.01, 0.01, 0.01], (len(rows), 1))
    sure[own >= 4] = [0.5, 0.5, 0, 0]  # four small clusters in doubt
    picks = choose_doubtful(make_pool(rows, probabilities=sure), 12)
    assert len({pick.row for pick in picks}) == 12
    doubtful = [own[pick.row] for pick in picks if pick.doubt > 0.4]
    assert set(doubtful) == {4, 5, 6, 7}
    assert picks[0].doubt > 0.4


def test_only_open_images_are_proposed_and_no_more_than_there_are(blobs):
    rows, _ = blobs
    closed = range(20, len(rows))
    for choose in (choose_centroids, choose_doubtful, choose_images):
        picks = choose(make_pool(rows, closed=closed), 15)
        assert {pick.row for pick in picks} <= set(range(20))
    assert len(choose_images(make_pool(rows, closed=closed), 50)) <= 20
    assert choose_images(make_pool(rows, closed=range(len(rows))), 5) == []


def test_equal_images_are_no_trouble():
    pool = make_pool(np.ones((30, 5), np.float32))
    assert len(choose_centroids(pool, 6)) == 6
    assert 1 <= len(choose_doubtful(pool, 6)) <= 6


def test_gain_falls_with_labels_and_brackets_what_they_bring():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 32))
    labels = rng.integers(0, 6, 1000)
    vectors = (centres[labels] + 2.2 * rng.normal(size=(1000, 32))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = np.zeros((6, 32), np.float32)
    gains = [
        expect_gain(vectors[:n], labels[:n], more=100, text_rows=texts, logit_scale=10.0)
        for n in (60, 200, 800)
    ]
    assert gains[0].value > gains[1].value > gains[2].value > 0
    assert all(gain.low <= gain.value <= gain.high for gain in gains)
    assert expect_gain(vectors[:8], labels[:8], more=9, text_rows=texts, logit_scale=10.0) is None


def test_planted_errors_are_first_and_contradicting_twins_before_them():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    probabilities = np.full((120, 3), 0.05)
    probabilities[np.arange(120), labels] = 0.9
    wrong = labels.copy()
    wrong[[5, 50, 100]] = [1, 2, 0]
    order, doubts = rank_label_errors(wrong, probabilities)
    assert set(order[:3].tolist()) == {5, 50, 100}
    assert doubts[5] == pytest.approx(0.9 / 0.95)
    vectors = rng.normal(size=(120, 16)).astype(np.float32)
    vectors[7] = vectors[90]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = find_suspects(vectors, wrong, probabilities, n=10)
    assert (found[0].why, {found[0].row, found[0].twin}) == ("duplicate", {7, 90})
    assert [one.row for one in found[1:]] == order[:3].tolist()
    assert [one.suggested for one in found[1:]] == labels[order[:3]].tolist()
    assert find_suspects(vectors, wrong, None, n=10)[0].why == "duplicate"
