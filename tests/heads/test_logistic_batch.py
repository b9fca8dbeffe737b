"""Many logistic regressions at once: each the minimum that scikit-learn finds for it."""

import numpy as np
import pytest
import torch
from head_rows import make_clusters
from sklearn.linear_model import LogisticRegression

from cliptune.heads.logistic_batch import Problems, solve_batch
from cliptune.selection.subspace import span

CLUSTERS = make_clusters(n_classes=4, n_per_class=30, dim=20, noise=1.2, seed=3)


def problems(weights, offset=None):
    rows = span(CLUSTERS.X)
    labels = torch.from_numpy(CLUSTERS.y)
    return Problems(rows.rows, rows.variances, labels, 4, torch.tensor(weights).float(), offset)


def masks(n, folds=3):
    weights = np.ones((folds, n), np.float32)
    for fold in range(folds):
        weights[fold, fold::folds] = 0
    return weights


@pytest.mark.parametrize("C", [0.3, 10.0])
def test_each_problem_has_its_own_minimum(C):
    weights = masks(len(CLUSTERS.y))
    batch = problems(weights)
    found = solve_batch(batch, 1 / (C * batch.counts))
    for number, kept in enumerate(weights.astype(bool)):
        theirs = LogisticRegression(C=C, tol=1e-8, max_iter=5000)
        theirs.fit(CLUSTERS.X[kept], CLUSTERS.y[kept])
        expected = theirs.predict_log_proba(CLUSTERS.X)
        logits = found.logits(batch, number, torch.arange(len(CLUSTERS.y)))
        assert np.abs(torch.log_softmax(logits, 1).numpy() - expected).max() < 0.02
        loss = -expected[kept, CLUSTERS.y[kept]].mean()
        best = loss + (theirs.coef_**2).sum() / (2 * C * kept.sum())
        assert float(found.objective[number]) <= best * (1 + 1e-4)


def test_an_offset_is_added_to_the_logits():
    offset = torch.randn(len(CLUSTERS.y), 4, generator=torch.Generator().manual_seed(0))
    batch = problems(masks(len(CLUSTERS.y)), offset)
    found = solve_batch(batch, torch.full((3,), 1e9))
    rows = torch.arange(10)
    bare = found.logits(batch, 0, rows) - found.bias[0]
    assert torch.allclose(bare, offset[rows], atol=1e-4)


def test_a_neighbouring_solution_is_a_shorter_way():
    batch = problems(masks(len(CLUSTERS.y)))
    first = solve_batch(batch, torch.full((3,), 1e-3))
    cold = solve_batch(batch, torch.full((3,), 5e-4))
    warm = solve_batch(batch, torch.full((3,), 5e-4), start=first)
    assert warm.n_evaluations < cold.n_evaluations
    assert warm.objective.numpy() == pytest.approx(cold.objective.numpy(), rel=1e-3)


def test_the_way_of_two_solutions_leads_closer_to_the_next():
    batch = problems(masks(len(CLUSTERS.y)))
    first, second = (solve_batch(batch, torch.full((3,), penalty)) for penalty in (1e-2, 3e-3))
    last = solve_batch(batch, torch.full((3,), 9e-4), start=second)
    beyond = second.beyond(first)
    assert torch.linalg.norm(beyond.weight - last.weight) < 0.7 * torch.linalg.norm(
        second.weight - last.weight
    )
    again = solve_batch(batch, torch.full((3,), 9e-4), start=beyond)
    assert again.objective.numpy() == pytest.approx(last.objective.numpy(), rel=1e-4)


def test_a_rougher_tolerance_is_a_shorter_way():
    batch = problems(masks(len(CLUSTERS.y)))
    close = solve_batch(batch, torch.full((3,), 1e-4))
    rough = solve_batch(batch, torch.full((3,), 1e-4), tolerance=3e-5)
    assert rough.n_evaluations < close.n_evaluations
    assert rough.objective.numpy() == pytest.approx(close.objective.numpy(), rel=3e-4)
