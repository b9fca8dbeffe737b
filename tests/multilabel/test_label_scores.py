"""Scores and scorers of several labels against scikit-learn, and by what they promise."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from torchmetrics.functional.classification import multilabel_average_precision

from cliptune.multilabel import fit_calibration, membership, score_label_sets
from cliptune.multilabel.calibration import fit_thresholds
from cliptune.multilabel.choosing import LabelData, choose_labels
from cliptune.multilabel.metrics import average_precisions, mean_average_precision
from cliptune.multilabel.scorers import fit_discriminant, fit_linear
from cliptune.splits.stratify import stratify


def draw(seed=0, n=300, c=4, ties=False):
    rng = np.random.default_rng(seed)
    truth = rng.random((n, c)) < np.linspace(0.05, 0.5, c)
    scores = truth + rng.normal(0, 1.2, (n, c))
    return truth, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_scikit_learns(ties):
    truth, scores = draw(ties=ties)
    expected = [average_precision_score(truth[:, c], scores[:, c]) for c in range(4)]
    np.testing.assert_allclose(average_precisions(truth, scores)[0], expected, rtol=1e-12)
    assert mean_average_precision(truth, scores)[0] == pytest.approx(
        average_precision_score(truth, scores, average="macro"), rel=1e-12
    )


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_torchmetrics(ties):
    """It takes probabilities in float64; logits may lose their order in it."""
    truth, scores = draw(ties=ties)
    probabilities = 1 / (1 + np.exp(-scores))
    given = torch.from_numpy(probabilities), torch.from_numpy(truth.astype(np.int64))
    each = multilabel_average_precision(*given, num_labels=4, average=None)
    np.testing.assert_allclose(average_precisions(truth, scores)[0], each.numpy(), rtol=1e-6)
    mean = multilabel_average_precision(*given, num_labels=4, average="macro")
    assert mean_average_precision(truth, scores)[0] == pytest.approx(float(mean), rel=1e-6)


def test_weights_count_images_as_often_as_they_are_drawn():
    truth, scores = draw(ties=True)
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(truth), len(truth))
    weights = np.bincount(rows, minlength=len(truth)).astype(float)[None]
    np.testing.assert_allclose(
        average_precisions(truth, scores, weights)[0],
        average_precisions(truth[rows], scores[rows])[0],
        rtol=1e-12,
    )


def test_f1_is_scikit_learns_and_intervals_hold_the_score():
    truth, scores = draw()
    probabilities = 1 / (1 + np.exp(-scores))
    said = probabilities >= 0.6
    found = score_label_sets(
        truth, probabilities, said, class_names=list("abcd"), thresholds=[0.6] * 4, seed=0
    )
    assert found.micro_f1.value == pytest.approx(f1_score(truth, said, average="micro"))
    assert found.macro_f1.value == pytest.approx(f1_score(truth, said, average="macro"))
    for score in (found.mean_average_precision, found.micro_f1, found.macro_f1):
        assert score.low < score.value < score.high
        assert score.n == 300
    assert [one.n for one in found.per_class] == truth.sum(axis=0).tolist()


def test_a_class_that_no_image_has_counts_for_nothing():
    truth, scores = draw()
    truth[:, 0] = False
    found = score_label_sets(
        truth, scores - scores.min(), scores > 0,
        class_names=list("abcd"), thresholds=[0.5] * 4, seed=0,
    )  # fmt: skip
    assert found.per_class[0].average_precision is None
    expected = np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in (1, 2, 3)])
    assert found.mean_average_precision.value == pytest.approx(expected)


def test_linear_is_one_logistic_regression_a_class():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 12)).astype(np.float32)
    truth = X @ rng.normal(size=(12, 3)) + rng.normal(size=(200, 3)) > 0.5
    penalty = 1e-2
    scorer = fit_linear(X, truth, [1e-1, penalty])[-1]
    for c in range(3):
        theirs = LogisticRegression(C=1 / (penalty * 200), tol=1e-8, max_iter=1000)
        theirs.fit(X, truth[:, c])
        np.testing.assert_allclose(scorer.score(X)[:, c], theirs.decision_function(X), atol=2e-2)


def test_discriminants_find_the_direction_between_means():
    rng = np.random.default_rng(0)
    truth = rng.random((4000, 2)) < 0.4
    shift = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    X = (truth @ shift + rng.normal(size=(4000, 3))).astype(np.float32)
    scorer = fit_discriminant(X, truth)
    unit = scorer.weight / np.linalg.norm(scorer.weight, axis=0)
    assert unit[0, 0] > 0.99
    assert unit[1, 1] > 0.99


def test_calibration_is_better_than_none_and_keeps_the_order():
    truth, scores = draw(n=400)
    calibration = fit_calibration(4 * scores - 7, truth)
    probabilities = calibration.probabilities(4 * scores - 7)
    raw = 1 / (1 + np.exp(-(4 * scores - 7)))

    def loss(p):
        p = np.clip(p, 1e-12, 1 - 1e-12)
        return -np.where(truth, np.log(p), np.log1p(-p)).mean()

    assert loss(probabilities) < loss(raw)
    assert np.abs(probabilities.mean(axis=0) - truth.mean(axis=0)).max() < 0.02
    assert (calibration.slope > 0).all()


def test_scores_that_mislead_are_never_turned_around():
    truth, scores = draw(n=200)
    calibration = fit_calibration(-scores, truth)
    assert (calibration.slope > 0).all()


def test_thresholds_are_those_of_the_largest_f1():
    truth, scores = draw(n=120)
    probabilities = 1 / (1 + np.exp(-scores))
    found = fit_thresholds(probabilities, truth)
    for c in range(4):
        if truth[:, c].sum() < 5:
            continue
        cuts = np.unique(probabilities[:, c])
        best = max(f1_score(truth[:, c], probabilities[:, c] >= cut) for cut in cuts)
        assert f1_score(truth[:, c], probabilities[:, c] >= found[c]) == pytest.approx(best)


def test_every_label_is_spread_and_groups_stay_together():
    rng = np.random.default_rng(0)
    truth = rng.random((600, 8)) < np.linspace(0.02, 0.4, 8)
    groups = np.arange(600) // 3
    parts = stratify(truth, groups, [0.2] * 5, seed=0)
    for group in np.unique(groups):
        assert len(set(parts[groups == group])) == 1
    for part in range(5):
        assert abs((parts == part).sum() - 120) <= 12
        share = truth[parts == part].sum(axis=0) / truth.sum(axis=0)
        assert (share > 0.1).all()
    assert (stratify(truth, groups, [0.2] * 5, seed=0) == parts).all()


def separable(n=240, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 3)) < 0.35
    features = (truth @ rng.normal(size=(3, 16)) + 0.4 * rng.normal(size=(n, 16))).astype("f4")
    return truth, features


def data_of(truth, features, text_rows):
    return LabelData(
        features={"embedding": features}, truth=truth, groups=np.arange(len(truth)),
        text_rows=text_rows, logit_scale=1.0, seed=0,
    )  # fmt: skip


def test_training_is_recommended_where_it_helps():
    truth, features = separable()
    texts = np.random.default_rng(5).normal(size=(3, 16)).astype("f4")
    chosen = choose_labels(data_of(truth, features, texts), ("discriminant", "linear"), margin=0.01)
    assert chosen.answer == "train"
    assert chosen.recommended in ("discriminant", "linear")
    assert chosen.gain[1] > 0
    best = chosen.fitted[chosen.recommended]
    low, high = best.areas.interval
    assert low <= best.areas.value <= high


def test_zero_shot_is_kept_where_it_is_as_good():
    truth, features = separable()
    texts = fit_discriminant(features, truth).weight.T
    chosen = choose_labels(data_of(truth, features, texts), ("discriminant", "linear"), margin=0.01)
    assert (chosen.answer, chosen.recommended) == ("do-not-train", "zero-shot")


def test_membership_of_groups():
    assert membership([(0, 2), (), None], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
