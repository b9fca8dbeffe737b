import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

from cliptune.errors import InputError
from cliptune.evaluation.metrics import compute_metrics, expected_calibration_error, wilson_interval


def random_predictions(n=400, n_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) + 2 * np.eye(n_classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


def test_agrees_with_scikit_learn():
    labels, probabilities = random_predictions()
    metrics = compute_metrics(labels, probabilities, class_names=list("abcde"))
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted)
    assert metrics.n == 400
    assert metrics.accuracy.value == pytest.approx(np.mean(predicted == labels))
    assert metrics.balanced_accuracy.value == pytest.approx(
        balanced_accuracy_score(labels, predicted)
    )
    assert metrics.log_loss.value == pytest.approx(log_loss(labels, probabilities))
    assert [c.precision for c in metrics.per_class] == pytest.approx(precision)
    assert [c.recall for c in metrics.per_class] == pytest.approx(recall)
    assert [c.f1 for c in metrics.per_class] == pytest.approx(f1)
    assert [c.n for c in metrics.per_class] == support.tolist()
    assert metrics.confusion.tolist() == confusion_matrix(labels, predicted).tolist()


def test_wilson_interval_matches_its_closed_form():
    n_correct, n, z = 149, 153, 1.959963984540054
    share = n_correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert wilson_interval(n_correct, n) == pytest.approx((centre - half, centre + half))


def test_bootstrap_interval_of_the_log_loss_has_the_normal_width():
    labels, probabilities = random_predictions(n=2000)
    score = compute_metrics(labels, probabilities, class_names=list("abcde")).log_loss
    losses = -np.log(probabilities[np.arange(2000), labels])
    expected = 2 * 1.96 * losses.std() / np.sqrt(2000)
    assert score.high - score.low == pytest.approx(expected, rel=0.15)
    assert score.low < score.value < score.high


def test_balanced_accuracy_interval_has_the_binomial_width():
    labels = np.repeat([0, 1], [900, 100])
    probabilities = np.full((1000, 2), 0.0)
    hits = np.concatenate([np.arange(900) % 10 != 0, np.arange(100) % 2 == 0])
    predicted = np.where(hits, labels, 1 - labels)
    probabilities[np.arange(1000), predicted] = 1.0
    score = compute_metrics(labels, probabilities, class_names=["a", "b"]).balanced_accuracy
    deviation = np.sqrt(0.9 * 0.1 / 900 + 0.5 * 0.5 / 100) / 2
    assert score.value == pytest.approx(0.7)
    assert score.high - score.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_calibration_error_of_a_known_case():
    # Eight predictions at 0.9 of which half are right, two at 0.3 both wrong.
    correct = np.asarray([True] * 4 + [False] * 4 + [False] * 2)
    confidence = np.asarray([0.9] * 8 + [0.3] * 2)
    expected = 0.8 * abs(0.5 - 0.9) + 0.2 * abs(0.0 - 0.3)
    assert expected_calibration_error(correct, confidence) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_calibration_error_lies_between_zero_and_one(seed):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0, 1, 50)
    assert 0 <= expected_calibration_error(rng.uniform(size=50) < 0.5, confidence) <= 1


def test_certain_and_wrong_gives_a_finite_loss():
    metrics = compute_metrics(
        np.asarray([0]), np.asarray([[0.0, 1.0]], np.float32), class_names=["a", "b"]
    )
    assert np.isfinite(metrics.log_loss.value)


def test_a_class_without_images_does_not_count_in_balanced_accuracy():
    labels, probabilities = np.asarray([0, 0]), np.asarray([[0.8, 0.1, 0.1]] * 2)
    metrics = compute_metrics(labels, probabilities, class_names=["a", "b", "c"])
    assert metrics.balanced_accuracy.value == 1.0
    assert metrics.per_class[1].n == 0


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.asarray([0, 2]), np.full((2, 2), 0.5), "expected 0 to 1"),
        (np.asarray([0, 1]), np.full((3, 2), 0.5), "expected \\(2, 2\\)"),
        (np.asarray([], int), np.full((0, 2), 0.5), "no labelled image"),
        (np.asarray([0, 1]), np.asarray([[0.5, 0.5], [np.nan, 1]]), "row 1"),
    ],
)
def test_rejects_what_cannot_be_scored(labels, probabilities, message):
    with pytest.raises(InputError, match=message):
        compute_metrics(labels, probabilities, class_names=["a", "b"])


def test_thousands_of_classes_are_written_by_the_pairs_that_occur():
    """The matrix of 5,000 classes has 25 million cells, of which 20,000 images fill few."""
    rng = np.random.default_rng(0)
    n_classes = 2000
    labels = np.arange(2 * n_classes) % n_classes
    scores = rng.random((len(labels), n_classes)).astype(np.float32)
    names = [f"class {c}" for c in range(n_classes)]
    found = compute_metrics(labels, scores / scores.sum(axis=1, keepdims=True), class_names=names)
    written = found.to_dict()["confusion"]
    assert written["classes"] == n_classes
    assert sum(count for _, _, count in written["cells"]) == len(labels)
    assert len(json.dumps(written)) < 100_000
    predicted = scores.argmax(axis=1)
    expected = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(expected, (labels, predicted), 1)
    assert (found.confusion == expected).all()
    one = found.per_class[7]
    assert one.n == 2
    assert one.recall == expected[7, 7] / 2
