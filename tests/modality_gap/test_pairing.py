import numpy as np
import pytest

from cliptune.modality_gap.pairing import Pairing, pair_by_group, resampled_counts


def test_leaves_out_what_has_no_partner():
    pairing, images, texts = pair_by_group(np.asarray([5, -1, 2, 5, 7]), np.asarray([2, 5, 9]))
    assert images.tolist() == [0, 2, 3]
    assert texts.tolist() == [0, 1]
    assert pairing.image_groups.tolist() == [1, 0, 1]
    assert pairing.text_groups.tolist() == [0, 1]
    assert not pairing.has_own_texts


def test_every_image_brings_one_text_shared_out_over_those_it_has():
    # Class 0: images 0 and 1, texts 0 and 2. Class 1: image 2, text 1.
    pairing = Pairing(np.asarray([0, 0, 1]), np.asarray([0, 1, 0]))
    weights = pairing.text_weights(np.asarray([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]]))
    assert weights.tolist() == [[1.0, 1.0, 1.0], [1.5, 0.0, 1.5]]


def test_captioned_images_are_groups_in_any_order():
    pairing = Pairing(np.asarray([2, 0, 1]), np.asarray([0, 0, 1, 2]))
    assert pairing.has_own_texts
    weights = pairing.text_weights(np.asarray([[5.0, 2.0, 1.0]]))
    assert weights.tolist() == [[1.0, 1.0, 1.0, 5.0]]


def test_matched_pairs_are_all_pairs_of_one_group():
    rng = np.random.default_rng(0)
    pairing, *_ = pair_by_group(rng.integers(0, 5, 30), rng.integers(0, 5, 12))
    images, texts = pairing.matched_pairs()
    expected = {
        (i, t)
        for i, g in enumerate(pairing.image_groups)
        for t, h in enumerate(pairing.text_groups)
        if g == h
    }
    assert set(zip(images.tolist(), texts.tolist(), strict=True)) == expected
    assert len(images) == len(expected)
    assert (np.diff(images) >= 0).all()


def test_a_subset_keeps_the_texts_of_its_images_and_the_limit():
    rng = np.random.default_rng(0)
    pairing, *_ = pair_by_group(rng.integers(0, 20, 300), np.repeat(np.arange(20), 2))
    images, texts = pairing.subset(100, np.random.default_rng(1))
    smaller = pairing.select(images, texts)
    assert 95 <= len(images) + len(texts) <= 100
    assert set(smaller.image_groups) == set(smaller.text_groups) == set(range(smaller.n_groups))
    same = pairing.image_groups[images][:, None] == pairing.text_groups[texts]
    assert (same == (smaller.image_groups[:, None] == smaller.text_groups)).all()


def test_a_subset_of_captioned_images_stays_one():
    pairing, *_ = pair_by_group(np.arange(100), np.repeat(np.arange(100), 5))
    images, texts = pairing.subset(120, np.random.default_rng(0))
    assert len(images) == 20
    assert pairing.select(images, texts).has_own_texts


@pytest.mark.parametrize("n", [7, 20_000])
def test_resamples_draw_as_many_as_there_are_with_replacement(n):
    blocks = list(resampled_counts(n, np.random.default_rng(0)))
    assert (blocks[0] == np.ones((1, n))).all()
    assert sum(len(block) for block in blocks) == 1001
    assert all((block.sum(axis=1) == n).all() for block in blocks)
    share_absent = np.mean([(block == 0).mean() for block in blocks[1:]])
    assert share_absent == pytest.approx((1 - 1 / n) ** n, abs=0.01)


def test_resamples_are_the_same_for_the_same_seed():
    first, second = (list(resampled_counts(50, np.random.default_rng(3))) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
