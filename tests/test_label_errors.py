"""Confident learning against hand-worked numbers, and on planted errors."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from cliptune.errors import InputError
from cliptune.evaluation.label_errors import find_label_errors, out_of_fold_probabilities


def test_a_hand_worked_example():
    """Thresholds are the mean own probabilities: 0.6 for class 0 and 0.7 for class 1."""
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.5, 0.5]])
    found = find_label_errors(labels, probabilities)
    assert found.rows.tolist() == [2]
    assert found.suggested.tolist() == [1]
    assert found.margin == pytest.approx([0.8])
    # Row 4 reaches neither 0.6 nor 0.7, so it belongs confidently to no class.
    assert found.confident_joint.tolist() == [[2, 1], [0, 1]]


def test_an_image_sure_of_two_classes_goes_to_the_likelier_one():
    labels = np.array([0, 0, 1, 1, 2, 2])
    probabilities = np.array(
        [
            [0.2, 0.45, 0.35],
            [0.6, 0.2, 0.2],
            [0.3, 0.3, 0.4],
            [0.4, 0.4, 0.2],
            [0.4, 0.3, 0.3],
            [0.4, 0.3, 0.3],
        ]
    )
    found = find_label_errors(labels, probabilities)
    assert dict(zip(found.rows.tolist(), found.suggested.tolist(), strict=True))[0] == 1
    assert found.rows[0] == 0


def test_a_class_without_labels_is_never_suggested():
    probabilities = np.array([[0.1, 0.0, 0.9], [0.2, 0.8, 0.0], [0.1, 0.9, 0.0]])
    found = find_label_errors(np.array([0, 1, 1]), probabilities)
    assert 2 not in found.suggested
    with pytest.raises(InputError, match="expected"):
        find_label_errors(np.array([0, 1]), probabilities)


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 32))
    labels = np.repeat(np.arange(4), 50)
    vectors = centres[labels] + 0.8 * rng.normal(size=(200, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return vectors.astype(np.float32), labels, centres.astype(np.float32)


def test_planted_errors_are_found_and_little_else(clusters):
    vectors, labels, texts = clusters
    rng = np.random.default_rng(1)
    planted = rng.choice(200, 12, replace=False)
    wrong = labels.copy()
    wrong[planted] = (labels[planted] + rng.integers(1, 4, 12)) % 4
    probabilities = out_of_fold_probabilities(vectors, wrong, text_rows=texts, logit_scale=20.0)
    found = find_label_errors(wrong, probabilities)
    hits = set(found.rows.tolist()) & set(planted.tolist())
    assert len(hits) >= 11
    assert len(found) <= 16
    right = found.suggested == labels[found.rows]
    assert right.mean() > 0.7


def test_a_label_has_no_part_in_its_own_probability(clusters):
    """Flipping one label leaves the image's own row alone, for it was in no training fold."""
    vectors, labels, texts = clusters
    before = out_of_fold_probabilities(vectors, labels, text_rows=texts, logit_scale=20.0)
    sure = int(before[np.arange(200), labels].argmax())
    wrong = labels.copy()
    wrong[sure] = (labels[sure] + 1) % 4
    after = out_of_fold_probabilities(vectors, wrong, text_rows=texts, logit_scale=20.0)
    assert after[sure, labels[sure]] > 0.9


def test_folds_side_by_side_give_what_they_give_one_by_one(clusters, two_threads, monkeypatch):
    vectors, labels, texts = clusters
    before = threadpool_info(), torch.get_num_threads()
    many = out_of_fold_probabilities(vectors, labels, text_rows=texts, logit_scale=20.0)
    monkeypatch.setattr("cliptune.evaluation.label_errors._SIDE_BY_SIDE", 0)
    one = out_of_fold_probabilities(vectors, labels, text_rows=texts, logit_scale=20.0)
    np.testing.assert_allclose(many, one, atol=1e-6)
    threads = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert torch.get_num_threads() == before[1]
    assert all(threads[pool["filepath"]] == pool["num_threads"] for pool in before[0])


def test_a_class_with_one_image_cannot_be_checked(clusters):
    vectors, labels, texts = clusters
    rows = np.concatenate([np.arange(151)])  # fifty of three classes, one of the fourth
    few = out_of_fold_probabilities(vectors[rows], labels[rows], text_rows=texts, logit_scale=20.0)
    assert few is None
