"""What images without labels do to a linear method, against closed forms and on drawn classes."""

import numpy as np
import pytest

from cliptune.choosing import choose_methods
from cliptune.classifiers.head_data import HeadData
from cliptune.errors import InputError
from cliptune.selection.unlabelled import Unlabelled, anchor, require_linear


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def drawn():
    """Three classes in 24 dimensions, four labels of each; images without labels, and a test."""
    rng = np.random.default_rng(3)
    means = 1.6 * unit(rng.normal(size=(3, 24)))
    labels = np.repeat(np.arange(3), [4 + 100 + 300] * 3)
    rows = unit(means[labels] + rng.normal(size=(len(labels), 24)) / 2)
    place = np.tile(np.repeat([0, 1, 2], [4, 100, 300]), 3)
    texts = unit(rng.normal(size=(3, 24)))
    trunk = np.concatenate([rows, rows], axis=1)
    learned, none = np.flatnonzero(place == 0), np.zeros(0, np.int64)
    task = HeadData(rows, None, labels, ("a", "b", "c"), texts, 20.0, learned, none, 0, trunk)
    return task, np.flatnonzero(place == 1), np.flatnonzero(place == 2)


def choose(task, rows, **options):
    others = Unlabelled(task.vectors[rows], task.trunk[rows])
    return choose_methods(task, ("discriminant", "linear", "blend"), options={}, unlabelled=others)


def right(task, head, test):
    wanted = task.trunk if head.needs == "trunk" else task.vectors
    return float((head.predict_logits(wanted[test]).argmax(axis=1) == task.labels[test]).mean())


def test_they_help_where_classes_lie_apart(drawn):
    task, others, test = drawn
    plain = choose_methods(task, ("discriminant", "linear", "blend"), options={})
    moved = choose(task, others)
    assert moved.unlabelled.kept
    assert moved.unlabelled.n == len(others)
    name = moved.answer.method
    assert name == plain.answer.method == "blend"
    gain = right(task, moved.fitted[name].head, test) - right(task, plain.fitted[name].head, test)
    assert gain > 0.01
    assert moved.fitted["linear"].head is not None
    before, after = (one.fitted["linear"].head.weight_ for one in (plain, moved))
    np.testing.assert_array_equal(before, after)  # what is not shipped stays


def test_weights_are_the_sum_of_both(drawn):
    """The head's logits over the temperature, and those that ``anchor`` gives, by hand."""
    task, others, test = drawn
    plain = choose_methods(task, ("linear",), options={"features": "penultimate"})
    more = Unlabelled(task.vectors[others], task.trunk[others])
    moved = choose_methods(
        task, ("linear",), options={"features": "penultimate"}, unlabelled=more
    ).fitted["linear"]
    one, dim = plain.fitted["linear"], task.vectors.shape[1]
    logits = one.head.predict_logits(task.trunk[others]) / one.temperature
    answers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers /= answers.sum(axis=1, keepdims=True)
    behind = task.trunk[:, dim:]
    known = np.eye(3)[task.labels[task.train]]
    weight, bias = anchor(behind[task.train], known, behind[others], answers)
    expected = one.head.predict_logits(task.trunk[test]) / one.temperature
    expected = expected + behind[test] @ weight.T + bias
    np.testing.assert_allclose(moved.head.predict_logits(task.trunk[test]), expected, atol=1e-4)


def test_one_round_is_that_of_gaussian_classes(monkeypatch):
    """With labels alone: linear discriminant analysis with a shrunk covariance, in closed form."""
    monkeypatch.setattr("cliptune.selection.unlabelled._ROUNDS", 1)
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(40, 6)), np.repeat([0, 1], 20)
    rows[labels == 1, 0] += 3
    others, answers = rng.normal(size=(10, 6)), rng.dirichlet([1, 1], size=10)
    weight, bias = anchor(rows, np.eye(2)[labels], others, answers, counted=0.0)
    means = np.stack([rows[labels == c].mean(axis=0) for c in (0, 1)])
    within = np.cov((rows - means[labels]).T, bias=True)
    mixed = 0.6 * within + 0.4 * np.trace(within) / 6 * np.eye(6)
    seen = np.concatenate([rows, others]).mean(axis=0)
    theirs = np.linalg.solve(mixed, (means - seen).T).T
    offsets = -0.5 * (theirs * (means - seen)).sum(axis=1)
    expected = (rows - seen) @ theirs.T + offsets
    found = rows @ weight.T + bias
    ratio = (np.diff(found, axis=1) / np.diff(expected, axis=1)).ravel()
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)  # alike but for the spread


def test_a_class_that_no_image_shows_keeps_its_place(drawn):
    task, others, test = drawn
    two = others[task.labels[others] != 2]
    moved = choose(task, two).fitted["blend"].head
    third = test[task.labels[test] == 2]
    plain = choose_methods(task, ("discriminant", "linear", "blend"), options={}).fitted["blend"]
    assert right(task, moved, third) > right(task, plain.head, third) - 0.1


def test_images_of_other_classes_are_left_alone_where_they_harm(drawn):
    """Noise in place of images: kept or not, held-out answers hardly change."""
    task, _, test = drawn
    rng = np.random.default_rng(1)
    noise = unit(rng.normal(size=(200, 24)))
    both = Unlabelled(noise, np.concatenate([noise, noise], axis=1))
    methods = ("discriminant", "linear", "blend")
    moved = choose_methods(task, methods, options={}, unlabelled=both)
    plain = choose_methods(task, methods, options={})
    lost = right(task, plain.fitted["blend"].head, test) - right(
        task, moved.fitted["blend"].head, test
    )
    assert lost < 0.1


def test_what_is_not_linear_is_said(drawn):
    task, others, _ = drawn
    more = Unlabelled(task.vectors[others], task.trunk[others])
    chosen = choose_methods(task, ("knn",), options={}, unlabelled=more)
    assert not chosen.unlabelled.kept
    assert "knn has no weights to move" in chosen.unlabelled.reason
    with pytest.raises(InputError, match="knn, which has no weights to move"):
        require_linear("knn")


def test_nothing_can_be_held_out_of_one_image_a_class(drawn):
    task, others, _ = drawn
    first = np.array([np.flatnonzero(task.labels == c)[0] for c in range(3)])
    own = HeadData(
        task.vectors, None, task.labels, task.class_names, task.text_rows, 20.0, first,
        np.zeros(0, np.int64), 0, task.trunk,
    )  # fmt: skip
    assert "no image could be held out" in choose(own, others).unlabelled.reason
