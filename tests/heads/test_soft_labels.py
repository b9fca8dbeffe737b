"""Labels that are not certain: what a row counts for several classes, against copies of the row."""

import numpy as np
import pytest

from cliptune.errors import DataError, InputError
from cliptune.heads import HEADS
from cliptune.heads.build import make_head
from cliptune.heads.logistic_batch import Problems, solve_batch
from cliptune.selection.candidates import Pool
from cliptune.selection.cross_validation import cross_validate
from cliptune.selection.folds import Folds, plan_folds

TAKERS = ("prototype", "discriminant", "linear", "blend")
VOTES = 4


@pytest.fixture(scope="module")
def rows():
    """Unit rows with votes of four annotators each, and the same with a copy for every vote."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 12))
    truth = np.repeat(np.arange(3), 20)
    X = centres[truth] + rng.normal(size=(60, 12))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    votes = np.array([np.bincount(rng.choice(3, VOTES, p=p), minlength=3)
                      for p in np.eye(3)[truth] * 0.7 + 0.1])  # fmt: skip
    texts = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    copies = np.repeat(np.arange(60), VOTES)
    of_copies = np.concatenate([np.repeat(np.arange(3), row) for row in votes])
    return X, votes, texts.astype(np.float32), copies, of_copies


@pytest.mark.parametrize("name", TAKERS)
def test_a_share_counts_as_that_many_copies_of_the_row(rows, name):
    X, votes, texts, copies, of_copies = rows
    options = {
        "linear": {"penalty": 0.01},
        "discriminant": {"shrinkage": 0.3, "mix": 0.5},
        "blend": {"discriminant": {"shrinkage": 0.3}, "linear": {"penalty": 0.01}},
    }.get(name, {})
    given = {"text_rows": texts, "logit_scale": 10.0}
    soft = make_head(name, options, seed=0).fit(
        X, votes.argmax(axis=1), soft_labels=votes / VOTES, **given
    )
    copied = make_head(name, options, seed=0).fit(X[copies], of_copies, **given)
    np.testing.assert_allclose(soft.predict_logits(X), copied.predict_logits(X), atol=2e-3)
    hard = make_head(name, options, seed=0).fit(X, votes.argmax(axis=1), **given)
    assert abs(hard.predict_logits(X) - copied.predict_logits(X)).max() > 0.02


@pytest.mark.parametrize("name", TAKERS)
def test_certain_labels_as_shares_change_nothing(rows, name):
    X, votes, texts, _, _ = rows
    y = votes.argmax(axis=1)
    given = {"text_rows": texts, "logit_scale": 10.0}
    soft = make_head(name, {}, seed=0).fit(X, y, soft_labels=np.eye(3)[y], **given)
    hard = make_head(name, {}, seed=0).fit(X, y, **given)
    np.testing.assert_allclose(soft.predict_logits(X), hard.predict_logits(X), atol=2e-3)


def test_heads_that_take_them_say_so():
    assert {name for name, head in HEADS.items() if head.takes_soft_labels} == set(TAKERS)


def test_other_heads_refuse_them(rows):
    X, votes, texts, _, _ = rows
    with pytest.raises(InputError, match="head 'knn' takes one class a row"):
        make_head("knn", {}, seed=0).fit(
            X, votes.argmax(axis=1), text_rows=texts, logit_scale=1.0, soft_labels=votes / VOTES
        )


@pytest.mark.parametrize(
    ("broken", "error", "says"),
    [
        (lambda s: s[:-1], InputError, r"soft labels came as \(59, 3\); expected \(60, 3\)"),
        (lambda s: s * 2, DataError, "soft labels are no shares"),
        (lambda s: s - np.array([1.0, -1.0, 0.0]), DataError, "soft labels are no shares"),
        (lambda s: np.where(s == s[0, 0], np.nan, s), DataError, "soft labels are no shares"),
    ],
)
def test_what_is_no_shares_is_refused(rows, broken, error, says):
    X, votes, texts, _, _ = rows
    with pytest.raises(error, match=says):
        make_head("linear", {}, seed=0).fit(
            X, votes.argmax(axis=1), text_rows=texts, logit_scale=1.0,
            soft_labels=broken(votes / VOTES),
        )  # fmt: skip


def test_a_batch_minimises_what_one_problem_does(rows):
    import torch

    X, votes, _, copies, of_copies = rows
    around = X - X.mean(axis=0)
    values, vectors = np.linalg.eigh(around.T @ around / len(X))
    turned = torch.from_numpy((around @ vectors).astype(np.float32))
    variances = torch.from_numpy(values.astype(np.float32)).clamp_min(0)
    penalty = torch.tensor([0.01])
    soft = solve_batch(
        Problems(turned, variances, torch.from_numpy(votes.argmax(axis=1)), n_classes=3,
                 weights=torch.ones(1, 60), soft=torch.from_numpy((votes / VOTES).astype("f4"))),
        penalty,
    )  # fmt: skip
    copied = solve_batch(
        Problems(turned[copies], variances, torch.from_numpy(of_copies), n_classes=3,
                 weights=torch.ones(1, len(copies))),
        penalty,
    )  # fmt: skip
    assert float(soft.objective[0]) == pytest.approx(float(copied.objective[0]), rel=1e-4)
    np.testing.assert_allclose(soft.weight[0], copied.weight[0], atol=0.03)


@pytest.mark.parametrize("dim", [12, 200])
def test_folds_answer_as_heads_that_are_fitted_on_the_rest(dim):
    """Both closed forms: more coordinates than held rows, and fewer."""
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(3), 30)
    X = rng.normal(size=(3, dim))[truth] + 1.5 * rng.normal(size=(90, dim))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    soft = rng.dirichlet(np.ones(3), 90).astype(np.float32) * 0.4 + 0.6 * np.eye(3)[truth]
    soft = soft.astype(np.float32)
    texts = np.eye(3, dim, dtype=np.float32)
    pool = Pool(X, None, None, truth, texts, 5.0, soft=soft)
    folds: Folds = plan_folds(truth, np.arange(90), n_classes=3, seed=0, cut=None)
    found = {c[0].method: c[0] for c in cross_validate(pool, folds, TAKERS[:3], options={})}
    learned, held, place = next(iter(folds.splits()))
    for name in TAKERS[:3]:
        options = dict(found[name].options)
        if name == "linear":
            options["penalty"] *= len(X) / len(learned)
        head = make_head(name, options, seed=0).fit(
            X[learned], truth[learned], text_rows=texts, logit_scale=5.0, soft_labels=soft[learned]
        )
        np.testing.assert_allclose(
            centred(head.predict_logits(X[held])),
            centred(found[name].logits[place]),
            atol=0.02,
            rtol=0.02,
        )


def centred(logits):
    """Leave out what is the same for all classes of a row: it changes no answer."""
    return logits - logits.mean(axis=1, keepdims=True)
