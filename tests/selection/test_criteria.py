"""Scores as means over images, against scikit-learn and the bootstrap."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from cliptune.errors import UnknownNameError
from cliptune.selection.answer import answer
from cliptune.selection.criteria import grade
from cliptune.selection.folds import plan_folds
from cliptune.selection.judging import Judged
from cliptune.selection.methods import CRITERIA
from cliptune.selection.sentence import recommendation

RNG = np.random.default_rng(0)
LABELS = RNG.choice(4, size=600, p=(0.6, 0.25, 0.1, 0.05))


def make_probabilities(strength, seed=1):
    logits = np.random.default_rng(seed).normal(size=(len(LABELS), 4))
    logits[np.arange(len(LABELS)), LABELS] += strength
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


PROBABILITIES = make_probabilities(1.0)
ANSWERS = PROBABILITIES.argmax(axis=1)
EXPECTED = {
    "accuracy": accuracy_score(LABELS, ANSWERS),
    "balanced-accuracy": balanced_accuracy_score(LABELS, ANSWERS),
    "macro-f1": f1_score(LABELS, ANSWERS, average="macro"),
    "log-loss": -log_loss(LABELS, PROBABILITIES),
}


@pytest.mark.parametrize("select", CRITERIA)
def test_the_mean_is_scikit_learns_score(select):
    assert grade(PROBABILITIES, LABELS, select).mean() == pytest.approx(EXPECTED[select])


@pytest.mark.parametrize("select", ["macro-f1", "balanced-accuracy"])
def test_the_spread_is_that_of_the_bootstrap(select):
    parts = grade(PROBABILITIES, LABELS, select)
    scores = []
    for _ in range(400):
        rows = RNG.integers(0, len(LABELS), len(LABELS))
        if select == "macro-f1":
            scores.append(f1_score(LABELS[rows], ANSWERS[rows], average="macro"))
        else:
            scores.append(balanced_accuracy_score(LABELS[rows], ANSWERS[rows]))
    error = parts.std() / np.sqrt(len(parts))
    assert error == pytest.approx(np.std(scores), rel=0.12)


def test_a_class_that_neither_occurs_nor_is_answered_is_left_out():
    wider = np.hstack([PROBABILITIES, np.zeros((len(LABELS), 1))])
    for select in ("macro-f1", "balanced-accuracy"):
        assert grade(wider, LABELS, select).mean() == pytest.approx(EXPECTED[select])


def test_an_unknown_criterion_is_refused():
    with pytest.raises(UnknownNameError, match="macro-f1"):
        grade(PROBABILITIES, LABELS, "auc")


def test_what_is_selected_by_decides():
    """One way names the commonest class always, the other tells the rare ones apart."""
    folds = plan_folds(LABELS, np.arange(len(LABELS)), n_classes=4, seed=0)
    own = LABELS[folds.rows]
    common = np.tile([0.97, 0.01, 0.01, 0.01], (len(own), 1))
    fair = make_probabilities(1.0)[folds.rows]
    assert (fair.argmax(axis=1) == own).mean() < 0.6
    found = {}
    for select in ("accuracy", "macro-f1", "balanced-accuracy"):
        judged = {
            "zero-shot": Judged.of(common, LABELS, folds, select=select),
            "linear": Judged.of(fair, LABELS, folds, select=select),
        }
        chance = 0.6 if select == "accuracy" else 0.25
        found[select] = answer(judged, margin=0.01, chance=chance, select=select)
    assert found["accuracy"].method != "linear"
    assert found["macro-f1"].method == found["balanced-accuracy"].method == "linear"
    assert found["macro-f1"].to_dict()["select"] == "macro-f1"
    assert "accuracy" not in found["macro-f1"].to_dict()


def test_the_sentence_names_the_score():
    folds = plan_folds(LABELS, np.arange(len(LABELS)), n_classes=4, seed=0)
    for select, words in (("macro-f1", "points of macro F1"), ("log-loss", "nats")):
        judged = {
            "zero-shot": Judged.of(
                make_probabilities(0.2)[folds.rows], LABELS, folds, select=select
            ),
            "linear": Judged.of(make_probabilities(3.0)[folds.rows], LABELS, folds, select=select),
        }
        found = answer(judged, margin=0.01, chance=0.25, select=select)
        assert found.answer == "train"
        test = type("S", (), {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100})()
        assert words in recommendation(found, test)
