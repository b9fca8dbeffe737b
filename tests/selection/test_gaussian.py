"""Discriminants of folds beside their formula in double precision, written out."""

import numpy as np
import pytest
from pools import given_of, make_pool

from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.folds import Folds, plan_folds
from cliptune.selection.shortcuts import discriminant


def by_the_formula(pool, folds, features, options):
    """(1 - h) S + h tr(S)/D I of the rows that are learned from, solved for the class means."""
    rows = pool.columns(features).astype(float)
    rows -= rows.mean(axis=0)
    answers = np.empty((len(folds.rows), pool.n_classes))
    for learned, held, place in folds.splits():
        labels = pool.labels[learned]
        means = np.stack([rows[learned][labels == c].mean(axis=0) for c in range(pool.n_classes)])
        apart = rows[learned] - means[labels]
        within = apart.T @ apart / len(learned)
        dim, h = rows.shape[1], options["shrinkage"]
        spread, tiny = np.trace(within), np.finfo(np.float32).eps
        if spread < tiny:  # equal variances, as large as between classes
            spread, h = max(means.var(axis=0).sum(), tiny), 1.0
        covariance = (1 - h) * within + h * spread / dim * np.eye(dim)
        weight = np.linalg.solve(covariance, means.T).T
        answers[place] = rows[held] @ weight.T - 0.5 * (weight * means).sum(axis=1)
    texts = zero_shot_logits(pool.vectors, pool.text_rows, pool.logit_scale)[folds.rows]
    return options["text"] * texts + options["mix"] * answers


def folds_of(pool):
    return plan_folds(pool.labels, np.arange(len(pool.labels)), n_classes=pool.n_classes, seed=0)


def uneven():
    """Two images of one class and many of the others, in more columns than rows."""
    pool = make_pool(12, dim=60, extra=80)
    kept = np.flatnonzero((pool.labels > 0) | (np.arange(len(pool.labels)) < 2))
    return type(pool)(
        pool.vectors[kept], pool.trunk[kept], None, pool.labels[kept], pool.text_rows, 20.0
    )


def alike():
    """Rows that differ by no more than single precision tells, in more columns than rows."""
    pool = make_pool(40, dim=60, extra=80)
    rows = (0.1 + 1e-5 * pool.trunk).astype(np.float32)
    return type(pool)(rows[:, :60], rows, None, pool.labels, pool.text_rows, 20.0)


POOLS = {
    "few held": make_pool(40, dim=60, extra=80),
    "few held, uneven": uneven(),
    "many held": make_pool(100, dim=10, extra=14),
    "few held, alike": alike(),
    "one row a class": make_pool(2, dim=30, extra=30),
}


@pytest.mark.parametrize("features", ["embedding", "penultimate", "both"])
@pytest.mark.parametrize("name", POOLS)
def test_answers_are_those_of_the_formula(name, features, monkeypatch):
    pool = POOLS[name]
    folds = folds_of(pool)
    if name == "one row a class":
        folds = Folds((np.array([0, 2, 4]), np.array([1, 3, 5])), 6, 2, 1)
    taken = []
    for way in ("shrunken_answers", "_answers_of_few"):
        monkeypatch.setattr(discriminant, way, noting(taken, way))
    found = discriminant.discriminants(given_of(pool, folds), features)
    expected = by_the_formula(pool, folds, features, found.options)
    near = 2e-2 if name.endswith("alike") else 2e-4
    assert np.abs(found.logits - expected).max() < near * expected.std()
    if name.startswith("few"):
        assert set(taken) == {"_answers_of_few"}
    if name == "many held":
        assert set(taken) == {"shrunken_answers"}


def noting(taken, name):
    kept = getattr(discriminant, name)

    def called(*arguments):
        taken.append(name)
        return kept(*arguments)

    return called


@pytest.mark.parametrize("features", ["embedding", "penultimate", "both"])
@pytest.mark.parametrize("name", ["few held", "few held, uneven"])
def test_the_two_ways_answer_alike(name, features, monkeypatch):
    pool = POOLS[name]
    given = given_of(pool, folds_of(pool))
    few = discriminant.discriminants(given, features)
    monkeypatch.setattr(discriminant, "_IN_FEW", len(pool.labels) ** 2)
    many = discriminant.discriminants(given, features)
    assert few.options["shrinkage"] == many.options["shrinkage"]
    assert few.options["mix"] == pytest.approx(many.options["mix"], rel=1e-2)
    assert np.abs(few.logits - many.logits).max() < 1e-2 * many.logits.std()
