import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from cliptune.errors import InputError
from cliptune.evaluation.calibration import apply_temperature, choose_threshold, fit_temperature
from cliptune.heads.choice import best_temperature


def sampled(n=20000, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 4)) * 2
    labels = np.asarray([rng.choice(4, p=row) for row in softmax(logits, axis=1)])
    return logits * scale, labels


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_recovers_the_temperature_that_labels_were_drawn_with(scale):
    logits, labels = sampled(scale=scale)
    assert fit_temperature(logits, labels) == pytest.approx(scale, rel=0.05)


def test_never_raises_the_loss():
    logits, labels = sampled(n=30)
    temperature = fit_temperature(logits, labels)

    def loss(t):
        return -log_softmax(logits / t, axis=1)[np.arange(30), labels].mean()

    assert loss(temperature) <= loss(1.0)


def test_decisions_stay():
    logits, _ = sampled(n=100)
    assert (apply_temperature(logits, 7.0).argmax(1) == logits.argmax(1)).all()
    assert apply_temperature(logits, 7.0) == pytest.approx(softmax(logits / 7, axis=1))


def test_large_logits_stay_finite():
    assert np.isfinite(apply_temperature(np.asarray([[1e4, -1e4]]), 0.01)).all()


def test_all_right_gives_a_finite_temperature():
    assert 0 < fit_temperature(np.asarray([[9.0, 0], [0, 9.0]]), np.asarray([0, 1])) < np.inf


def test_calibration_needs_images():
    with pytest.raises(InputError, match="no held-out image"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


def test_threshold_answers_as_many_as_reach_the_precision():
    confidence = np.asarray([0.95, 0.9, 0.85, 0.8, 0.75, 0.6])
    labels = np.asarray([0, 0, 0, 1, 0, 1])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    threshold = choose_threshold(probabilities, labels, precision=0.8)
    assert threshold.probability == 0.75
    assert (threshold.precision, threshold.n) == (0.8, 5)
    assert threshold.coverage == pytest.approx(5 / 6)
    assert threshold.low < 0.8 < threshold.high
    assert choose_threshold(probabilities, labels, precision=1.0).probability == 0.85


def test_images_of_one_confidence_are_answered_together():
    probabilities = np.asarray([[0.9, 0.1], [0.9, 0.1]])
    assert choose_threshold(probabilities, np.asarray([0, 1]), precision=0.9) is None


def test_rejects_a_precision_that_is_no_share():
    with pytest.raises(InputError, match=r"1\.5"):
        choose_threshold(np.eye(2), np.asarray([0, 1]), precision=1.5)


@pytest.mark.parametrize("sure", [1.0, 30.0])
def test_without_an_error_the_temperature_stays_in_bounds(sure):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 20)
    logits = sure * np.eye(3)[labels] + rng.normal(size=(20, 3)) * 0.1
    temperature = fit_temperature(logits, labels)
    top = apply_temperature(logits, temperature).max(axis=1)
    assert top.mean() <= max(softmax(logits, axis=1).max(axis=1).mean(), 1 - 1 / 22) + 1e-6
    assert 0.01 < temperature < 100


def test_smoothed_loss_is_that_of_its_targets():
    logits, labels = sampled(n=40)
    temperature, loss = best_temperature(logits, labels)
    wanted = np.full((40, 4), 1 / 42 / 3)
    wanted[np.arange(40), labels] = 41 / 42

    def smoothed(t):
        return -(wanted * log_softmax(logits / t, axis=1)).sum(axis=1).mean()

    assert loss == pytest.approx(smoothed(temperature), rel=1e-9)
    assert all(smoothed(temperature * factor) > loss for factor in (0.98, 1.02))


def test_candidates_without_an_error_are_not_told_apart_by_rounding():
    labels = np.arange(12) % 3
    wide = 5.0 * np.eye(3)[labels]
    narrow = wide + np.where(np.eye(3)[labels] > 0, 0, 4.9) * (np.arange(12) % 4 == 0)[:, None]
    assert best_temperature(wide, labels)[1] < best_temperature(narrow, labels)[1] - 1e-3
