import numpy as np
import pytest
from head_rows import SCALE, as_trunk, make_clusters
from sklearn.linear_model import LogisticRegression

from cliptune.errors import InputError, UnknownNameError
from cliptune.heads.arrays import log_loss, softmax
from cliptune.heads.linear import LinearHead
from cliptune.heads.logistic import make_problem, solve
from cliptune.heads.zero_shot import ZeroShotHead

CLUSTERS = make_clusters(n_classes=5, n_per_class=40, dim=24, noise=1.2, seed=2)
TEXTS = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}


def objective(weight, bias, penalty, anchor):
    logits = CLUSTERS.X.astype(np.float64) @ weight.T + bias
    pull = 0.5 * (penalty[:, None] * (weight - anchor) ** 2).sum()
    return log_loss(logits, CLUSTERS.y) + pull


@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_minimum_is_that_of_scikit_learn(C):
    theirs = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(CLUSTERS.X, CLUSTERS.y)
    penalty = 1 / (C * len(CLUSTERS.y))
    ours = LinearHead(penalty).fit(CLUSTERS.X, CLUSTERS.y)
    vector, zero = np.full(5, penalty), np.zeros_like(ours.weight_)
    best = objective(theirs.coef_, theirs.intercept_, vector, zero)
    assert objective(ours.weight_, ours.bias_, vector, zero) <= best * (1 + 1e-4)
    probabilities = theirs.predict_proba(CLUSTERS.X_test)
    assert np.abs(ours.predict_proba(CLUSTERS.X_test) - probabilities).max() < 0.01


def test_gradient_vanishes_at_the_minimum_of_an_anchored_problem():
    anchor = np.float32(SCALE) * CLUSTERS.text_rows
    penalty = np.array([0.01, 0.02, 0.005, 0.01, 0.03])
    problem = make_problem(CLUSTERS.X, CLUSTERS.y, n_classes=5)
    found = solve(problem, penalty, anchor=anchor)
    residual = softmax(CLUSTERS.X @ found.weight.T + found.bias)
    residual[np.arange(len(CLUSTERS.y)), CLUSTERS.y] -= 1
    gradient = residual.T @ CLUSTERS.X / len(CLUSTERS.y)
    gradient += penalty[:, None] * (found.weight - anchor)
    assert np.abs(gradient).max() < 2e-3
    assert np.abs(residual.mean(axis=0)).max() < 2e-3
    assert found.objective == pytest.approx(
        objective(found.weight, found.bias, penalty, anchor), rel=1e-5
    )


def test_a_neighbouring_solution_is_a_shorter_way():
    anchor = np.zeros((5, 24), np.float32)
    problem = make_problem(CLUSTERS.X, CLUSTERS.y, n_classes=5)
    first = solve(problem, np.full(5, 1e-3), anchor=anchor)
    cold = solve(problem, np.full(5, 8e-4), anchor=anchor)
    warm = solve(problem, np.full(5, 8e-4), anchor=anchor, start=first)
    assert warm.n_evaluations < cold.n_evaluations
    assert warm.objective == pytest.approx(cold.objective, rel=1e-4)


def test_an_overwhelming_penalty_leaves_the_texts():
    head = LinearHead(1e6).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
    assert np.allclose(head.weight_, SCALE * CLUSTERS.text_rows, atol=1e-3)


def test_trunk_rows_start_at_exactly_the_zero_shot_answer():
    X, X_val = as_trunk(CLUSTERS.X), as_trunk(CLUSTERS.X_val)
    head = LinearHead(features="trunk")
    head.fit(X, CLUSTERS.y, **TEXTS, validation=(X_val, CLUSTERS.y_val))
    zero_shot = ZeroShotHead().fit(None, None, **TEXTS)
    start = head.history_[0]
    assert start.val_loss == pytest.approx(
        log_loss(zero_shot.predict_logits(CLUSTERS.X_val), CLUSTERS.y_val), rel=1e-6
    )
    kept = LinearHead(1e9, "trunk").fit(X, CLUSTERS.y, **TEXTS)
    assert np.allclose(kept.weight_[:, :24], SCALE * CLUSTERS.text_rows, atol=1e-5)
    assert np.allclose(kept.weight_[:, 24:], 0, atol=1e-5)
    assert head.n_parameters_ == 5 * (24 + 24 + 1)
    assert head.history_[1].val_loss < start.val_loss


def test_trunk_rows_without_texts_are_scikit_learns_problem():
    X = as_trunk(CLUSTERS.X)
    theirs = LogisticRegression(C=10, tol=1e-8, max_iter=5000).fit(X, CLUSTERS.y)
    ours = LinearHead(features="trunk").fit(X, CLUSTERS.y)
    X_test = as_trunk(CLUSTERS.X_test)
    assert np.abs(ours.predict_proba(X_test) - theirs.predict_proba(X_test)).max() < 0.01


def test_trunk_penalties_all_start_from_texts():
    X, X_val = as_trunk(CLUSTERS.X), as_trunk(CLUSTERS.X_val)
    for penalty in ("class-adaptive", "validation"):
        head = LinearHead(penalty, "trunk")
        head.fit(X, CLUSTERS.y, **TEXTS, validation=(X_val, CLUSTERS.y_val))
        assert head.history_[1].val_loss < head.history_[0].val_loss


def test_refuses_unknown_features_and_rows_without_a_trunk():
    with pytest.raises(UnknownNameError, match="trunk"):
        LinearHead(features="tokens").fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
    with pytest.raises(InputError, match="behind the embedding, as encode_trunk gives them"):
        LinearHead(features="trunk").fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)


def test_history_holds_zero_shot_and_the_minimum():
    head = LinearHead().fit(CLUSTERS.X, CLUSTERS.y, **TEXTS, validation=CLUSTERS.validation)
    start, end = head.history_
    logits = SCALE * CLUSTERS.X @ CLUSTERS.text_rows.T
    assert start.train_loss == pytest.approx(log_loss(logits, CLUSTERS.y), rel=1e-5)
    assert end.train_loss == pytest.approx(
        log_loss(head.predict_logits(CLUSTERS.X), CLUSTERS.y), rel=1e-6
    )
    assert end.val_loss < start.val_loss


def test_one_over_n_falls_with_the_rows():
    few = np.concatenate([np.flatnonzero(CLUSTERS.y == c)[:4] for c in range(5)])
    little = LinearHead().fit(CLUSTERS.X[few], CLUSTERS.y[few], **TEXTS)
    much = LinearHead().fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
    assert little.penalty_ == pytest.approx(1 / (10 * 20))
    assert much.penalty_ == pytest.approx(1 / (10 * 200))


def test_class_adaptive_multipliers_follow_the_paper():
    kept = CLUSTERS.y != 4
    X, y = CLUSTERS.X[kept], CLUSTERS.y[kept]
    head = LinearHead("class-adaptive").fit(X, y, **TEXTS)
    zero_shot = softmax(SCALE * X @ CLUSTERS.text_rows.T)
    multipliers = np.array([zero_shot[y == c, c].mean() for c in range(4)] + [1.0])
    anchor = np.float32(SCALE) * CLUSTERS.text_rows
    first = solve(make_problem(X, y, n_classes=5), 2 / SCALE**2 * multipliers, anchor=anchor)
    multipliers += ((first.weight / SCALE - CLUSTERS.text_rows) ** 2).sum(axis=1)
    assert head.penalty_ == pytest.approx(2 / SCALE**2 * multipliers, rel=1e-4)


def test_validation_takes_the_best_penalty_of_its_path():
    head = LinearHead("validation").fit(
        CLUSTERS.X, CLUSTERS.y, **TEXTS, validation=CLUSTERS.validation
    )

    def loss(penalty):
        other = LinearHead(float(penalty)).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        return log_loss(other.predict_logits(CLUSTERS.X_val), CLUSTERS.y_val)

    rule = 1 / (10 * len(CLUSTERS.y))
    path = [rule * 10**power for power in np.arange(2.0, -2.25, -0.5)]
    assert loss(head.penalty_[0]) == pytest.approx(min(map(loss, path)), abs=1e-3)


@pytest.mark.parametrize(
    ("penalty", "arguments", "message"),
    [
        ("validation", TEXTS, "without validation rows"),
        ("class-adaptive", {}, "pass text_rows"),
        (-1.0, TEXTS, r"penalty is -1\.0"),
        (float("inf"), TEXTS, "penalty is inf"),
    ],
)
def test_refuses_penalties_that_cannot_be(penalty, arguments, message):
    with pytest.raises(InputError, match=message):
        LinearHead(penalty).fit(CLUSTERS.X, CLUSTERS.y, **arguments)


def test_unknown_penalty_lists_the_names():
    with pytest.raises(UnknownNameError, match="one-over-n"):
        LinearHead("one-over-m").fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)


def uneven():
    """Rows of which class 0 has all, class 4 a tenth."""
    kept = np.concatenate([np.flatnonzero(CLUSTERS.y == c)[: 40 - 9 * c] for c in range(5)])
    return CLUSTERS.X[kept], CLUSTERS.y[kept]


def test_a_balanced_loss_has_the_minimum_of_scikit_learns_balanced_weights():
    X, y = uneven()
    theirs = LogisticRegression(C=10.0, class_weight="balanced", tol=1e-8, max_iter=5000).fit(X, y)
    ours = LinearHead(1 / (10 * len(y)), balance="loss").fit(X, y)
    change = ours.predict_proba(CLUSTERS.X_test) - theirs.predict_proba(CLUSTERS.X_test)
    assert np.abs(change).max() < 0.01
    plain = LinearHead(1 / (10 * len(y))).fit(X, y).predict_proba(CLUSTERS.X_test)
    assert np.abs(plain - theirs.predict_proba(CLUSTERS.X_test)).max() > 0.05


def test_a_prior_that_is_taken_off_moves_the_bias_alone():
    X, y = uneven()
    plain, adjusted = (LinearHead(balance=way).fit(X, y) for way in ("none", "prior"))
    assert np.array_equal(plain.weight_, adjusted.weight_)
    shares = (np.bincount(y) + 1) / (len(y) + 5)
    assert np.allclose(adjusted.bias_, plain.bias_ - np.log(shares), atol=1e-6)
    assert np.isfinite(
        LinearHead(balance="prior").fit(X, y, n_classes=6, **six_texts()).bias_
    ).all()


def six_texts():
    rows = np.vstack([CLUSTERS.text_rows, CLUSTERS.text_rows[:1]])
    return {"text_rows": rows, "logit_scale": SCALE}


def test_an_unknown_balance_is_refused():
    with pytest.raises(UnknownNameError, match="balance"):
        LinearHead(balance="classes").fit(CLUSTERS.X, CLUSTERS.y)
