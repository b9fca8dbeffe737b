"""Closed forms and batches give what fitting anew without the held images would give."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pools import given_of, make_pool
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from cliptune.heads.build import make_head
from cliptune.selection.candidates import Candidate, best_setting
from cliptune.selection.cross_validation import cross_validate
from cliptune.selection.folds import plan_folds
from cliptune.selection.kinds import favoured
from cliptune.selection.methods import COMPARED, affordable
from cliptune.selection.refitted import refitted
from cliptune.selection.shortcuts import linear
from cliptune.selection.shortcuts.linear import linear_heads
from cliptune.selection.subspace import span

POOLS = {"fewer rows than columns": make_pool(6), "more rows than columns": make_pool(40)}
METHODS = ("prototype", "discriminant", "linear", "knn", "cache")


def folds_of(pool):
    groups = np.arange(len(pool.labels))
    return plan_folds(pool.labels, groups, n_classes=pool.n_classes, seed=0)


@cache
def compared(name, method):
    """Return the last method's candidates; several tests look at the same ones."""
    pool = POOLS[name]
    *_, candidates = cross_validate(pool, folds_of(pool), [method], options={})
    return candidates


def same_decisions(first, second):
    """Logits that differ by a factor and by what is common to a row's classes."""
    a, b = (log_softmax(logits.astype(float), axis=1) for logits in (first, second))
    return np.abs(a - b).max()


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("method", METHODS)
def test_answers_are_those_of_heads_fitted_without_the_held_images(name, method):
    pool = POOLS[name]
    folds = folds_of(pool)
    candidates = compared(name, method)
    assert candidates[0].method == method
    for candidate in candidates:
        if method == "linear":
            expected = refitted_linear(pool, folds, candidate)
            change = softmax(candidate.logits, axis=1) - softmax(expected, axis=1)
            # With as many columns as rows a weak penalty hardly tells one minimum from the next.
            assert np.abs(change).max() < (0.05 if name.startswith("fewer") else 0.01)
        else:
            expected = refitted(pool, folds, method, candidate.options).logits
            assert same_decisions(candidate.logits, expected) < 2e-3, candidate.features


def refitted_linear(pool, folds, candidate):
    """Fit anew; a fold's penalty falls with the images that it learns from."""
    logits = np.empty_like(candidate.logits)
    for learned, held, place in folds.splits():
        penalty = candidate.options["penalty"] * len(pool.labels) / len(learned)
        head = make_head("linear", {**candidate.options, "penalty": penalty}, seed=0)
        head.fit(
            pool.rows(learned, head.needs),
            pool.labels[learned],
            text_rows=pool.text_rows,
            logit_scale=pool.logit_scale,
        )
        logits[place] = head.predict_logits(pool.rows(held, head.needs))
    return logits


def test_a_blend_is_the_sum_of_its_parts_fitted_without_the_held_images():
    pool = POOLS["more rows than columns"]
    folds = folds_of(pool)
    for candidate in compared("more rows than columns", "blend"):
        options = candidate.options
        parts = [
            replace(candidate, options={**options[name], "features": candidate.features})
            for name in ("discriminant", "linear")
        ]
        first = refitted(pool, folds, "discriminant", parts[0].options).logits
        second = refitted_linear(pool, folds, parts[1])
        expected = options["discriminant_weight"] * first + options["linear_weight"] * second
        change = softmax(candidate.logits, axis=1) - softmax(expected, axis=1)
        assert np.abs(change).max() < 0.01


def test_a_blend_of_fitted_heads_is_the_blend_fitted_anew():
    pool = POOLS["more rows than columns"]
    candidates = compared("more rows than columns", "blend")
    head = make_head("blend", candidates[-1].options, seed=0)
    rows = pool.rows(np.arange(len(pool.labels)), head.needs)
    given = {"text_rows": pool.text_rows, "logit_scale": pool.logit_scale}
    parts = [part.fit(rows, pool.labels, **given) for part in head.parts()]
    whole = make_head("blend", candidates[-1].options, seed=0).fit(rows, pool.labels, **given)
    assert np.array_equal(head.combine(*parts).weight_, whole.weight_)
    first, second = head.discriminant_weight, head.linear_weight
    expected = first * parts[0].predict_logits(rows) + second * parts[1].predict_logits(rows)
    assert whole.predict_logits(rows) == pytest.approx(expected, abs=1e-4)


def test_features_before_the_projection_unless_others_are_shown_to_be_better():
    labels = np.arange(200) % 2
    pool = replace(make_pool(100, n_classes=2), labels=labels)
    folds = folds_of(pool)
    rng = np.random.default_rng(0)
    own = labels[folds.rows]

    def candidate(features, strength):
        logits = rng.normal(size=(len(own), 2))
        logits[np.arange(len(own)), own] += strength
        return Candidate("linear", features, {}, logits.astype(np.float32))

    usual = candidate("penultimate", 1.0)
    assert favoured([candidate("embedding", 1.05), usual], pool, folds) is usual
    better = candidate("both", 2.0)
    assert favoured([usual, better], pool, folds) is better
    alone = candidate("embedding", 1.0)
    assert favoured([alone], pool, folds) is alone


def test_the_objective_is_scikit_learns():
    pool = POOLS["more rows than columns"]
    folds = folds_of(pool)
    found = linear_heads(given_of(pool, folds), "embedding")
    learned, held, place = next(folds.splits())
    penalty = found.options["penalty"] * len(pool.labels)  # 1 / C
    if found.options["text"] == 0:
        theirs = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000)
        theirs.fit(pool.vectors[learned], pool.labels[learned])
        expected = theirs.decision_function(pool.vectors[held])
        assert same_decisions(found.logits[place], expected) < 0.05


def test_named_features_are_the_only_ones():
    pool = POOLS["more rows than columns"]
    for given, named in (("penultimate", "penultimate"), ("trunk", "both")):
        *_, found = cross_validate(pool, folds_of(pool), ["linear"], options={"features": given})
        assert [one.features for one in found] == [named]


def test_without_features_before_a_projection_there_is_the_embedding():
    pool = POOLS["more rows than columns"]
    alone = type(pool)(pool.vectors, None, None, pool.labels, pool.text_rows, pool.logit_scale)
    *_, found = cross_validate(alone, folds_of(alone), ["discriminant"], options={})
    assert [one.features for one in found] == ["embedding"]


def test_settings_are_those_with_the_lowest_loss_held_out():
    pool = POOLS["more rows than columns"]
    folds = folds_of(pool)
    weak = refitted(pool, folds, "linear", {"penalty": 1e6, "text": 0.0})
    good = refitted(pool, folds, "linear", {"penalty": 1e-3, "text": 0.0})
    assert best_setting([weak, good], pool.labels[folds.rows]) is good


def test_a_head_with_the_chosen_settings_learns_from_the_same_columns():
    pool = POOLS["more rows than columns"]
    for candidate in compared("more rows than columns", "linear"):
        head = make_head("linear", candidate.options, seed=0)
        rows = pool.rows(np.arange(len(pool.labels)), head.needs)
        head.fit(rows, pool.labels, text_rows=pool.text_rows, logit_scale=pool.logit_scale)
        behind = head.weight_[:, pool.vectors.shape[1] :]
        assert (behind.size > 0) == (candidate.features != "embedding")
        if candidate.features == "penultimate":
            start = candidate.options["text"] * pool.logit_scale * pool.text_rows
            assert head.weight_[:, : pool.vectors.shape[1]] == pytest.approx(start, abs=1e-6)


@pytest.mark.parametrize("balance", ["loss", "prior"])
def test_balanced_answers_are_those_of_balanced_heads_fitted_without_the_held_images(balance):
    whole = make_pool(40)
    kept = np.concatenate([np.flatnonzero(whole.labels == c)[: 40 - 15 * c] for c in range(3)])
    pool = replace(
        whole, vectors=whole.vectors[kept], trunk=whole.trunk[kept], labels=whole.labels[kept],
        balance=balance,
    )  # fmt: skip
    folds = folds_of(pool).first_repeat()
    *_, candidates = cross_validate(pool, folds, ["linear"], options={})
    for candidate in candidates:
        assert candidate.options["balance"] == balance
        change = softmax(candidate.logits, axis=1) - softmax(
            refitted_linear(pool, folds, candidate), axis=1
        )
        assert np.abs(change).max() < 0.01
    plain, *_ = list(cross_validate(replace(pool, balance="none"), folds, ["linear"], options={}))[
        1
    ]
    assert "balance" not in plain.options


def test_what_would_take_long_is_not_compared_and_it_is_said():
    kept, notes = affordable(COMPARED, 20_000, n_classes=5_000, dim=1664)
    assert kept == ["zero-shot", "prototype", "discriminant"]
    assert "they keep every image and there are 20,000: knn, cache" in notes[0]
    assert "5,000 classes would take them about 37 minutes: linear, blend" in notes[1]
    assert affordable(COMPARED, 10_000, n_classes=100, dim=1664, n_fits=15) == (list(COMPARED), [])
    assert affordable(["linear"], 20_000, n_classes=5_000, dim=1664) == (["linear"], [])


def test_large_problems_are_solved_roughly_with_nearly_the_same_losses(monkeypatch):
    pool = make_pool(n_per_class=40, n_classes=4)
    folds = folds_of(pool)
    labels = pool.labels[folds.rows]

    def losses():
        path = linear.penalty_path(pool, folds, "both", span(pool.columns("both")), text=0.0)
        return [log_loss(labels, softmax(one.logits.astype(float), axis=1)) for one in path]

    close = losses()
    monkeypatch.setattr(linear, "_LARGE", 160 * 4)
    rough = losses()
    assert rough != close
    assert min(rough) == pytest.approx(min(close), abs=1e-3)
    assert np.argmin(rough) == np.argmin(close)
