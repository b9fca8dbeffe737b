"""Logistic regressions in cross-validation: all folds of a penalty minimised as one batch.

The path of penalties goes from the strongest to the weakest, each started from the one before;
it ends where the held-out loss has risen. The objective is that of the linear head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.balance import balanced_weights, log_prior
from cliptune.heads.logistic_batch import Problems, Solutions, solve_batch
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.candidates import Pool, Setting, best_setting
from cliptune.selection.folds import Folds
from cliptune.selection.kinds import MANY, favoured
from cliptune.selection.shortcuts import Given, Shortcut
from cliptune.selection.subspace import Subspace

__all__ = ["PENALTIES", "SHORTCUT", "linear_heads", "penalty_path"]

# Multiples of 1 / N: in terms of scikit-learn's C, from 0.1 to 10,000.
PENALTIES = tuple(10.0 ** np.arange(1.0, -4.25, -0.5))
_PATIENCE = 2
# Rows times classes, from which on objectives are minimised to a rougher tolerance, and each
# penalty starts beyond the one before; held-out losses came within 0.0003 of a tenth of it.
_LARGE, _ROUGH = 100_000, 3e-5
_COLUMNS_AT_ONCE = 4096  # logits of all problems of a batch, a row


def linear_heads(given: Given, features: str) -> Setting:
    """Answer by logistic regressions, from nothing and from the class texts."""
    pool, folds, subspace = given.pool, given.folds, given.subspace(features)
    labels = pool.labels[folds.rows]
    best = [
        best_setting(
            penalty_path(pool, folds, features, subspace, text=text), labels, patience=_PATIENCE
        )
        for text in (0.0, 1.0)
    ]
    return best_setting(best, labels)


def _kinds(given: Given) -> tuple[str, ...]:
    """Give the features to learn from: of many images, which take long, those of discriminants."""
    if len(given.pool.labels) <= MANY or len(given.kinds) == 1:
        return given.kinds
    return (favoured(given.answers("discriminant"), given.pool, given.folds).features,)


def penalty_path(
    pool: Pool,
    folds: Folds,
    features: str,
    subspace: Subspace,
    *,
    text: float,
    multiples: Sequence[float] = PENALTIES,
) -> Iterator[Setting]:
    """Give the answers of logistic regressions, from the strongest penalty to the weakest.

    Args:
        pool: The data.
        folds: What is left out.
        features: Whose rows the subspace holds.
        subspace: The rows in fewer coordinates.
        text: Weight of the zero-shot logits that are added; 0 for none.
        multiples: Penalties times the images that a fold learns from, descending.
    """
    offset = None
    if text:
        texts = zero_shot_logits(pool.vectors, pool.text_rows, pool.logit_scale)
        offset = torch.from_numpy(texts)
    splits = list(folds.splits())
    priors = [_taken_off(pool, rows) for rows, _, _ in splits]
    at_once = max(1, _COLUMNS_AT_ONCE // pool.n_classes)
    batches = [
        (_problems(pool, subspace, offset, splits[start : start + at_once]), start)
        for start in range(0, len(splits), at_once)
    ]
    large = len(pool.labels) * pool.n_classes >= _LARGE
    how = {"tolerance": _ROUGH} if large else {}
    solved: list[Solutions | None] = [None for _ in batches]
    starts = list(solved)
    for multiple in multiples:
        logits = np.empty((len(folds.rows), pool.n_classes), np.float32)
        for number, (problems, start) in enumerate(batches):
            penalty = multiple / problems.counts
            solution = solve_batch(problems, penalty, start=starts[number], **how)
            before, solved[number] = solved[number], solution
            starts[number] = solution if before is None or not large else solution.beyond(before)
            for place, (_, held, at) in enumerate(splits[start : start + at_once]):
                answers = solution.logits(problems, place, torch.from_numpy(held)).numpy()
                logits[at] = answers - priors[start + place]
        # What is learned is as strong as in the folds: the penalty falls with the images as there.
        options = {
            "features": features,
            "penalty": float(multiple / len(pool.labels)),
            "text": text,
            **({} if pool.balance == "none" else {"balance": pool.balance}),
        }
        yield Setting(options, logits)


def _counts_for(pool: Pool, rows: NDArray[np.int64]) -> torch.Tensor:
    """Return what each of the rows counts that a fold learns from, float32 (k,)."""
    if pool.balance != "loss":
        return torch.ones(len(rows))
    return torch.from_numpy(balanced_weights(pool.labels[rows], pool.n_classes))


def _taken_off(pool: Pool, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return what is taken off the logits of a fold that learns from such rows, float32 (C,)."""
    if pool.balance != "prior":
        return np.zeros(pool.n_classes, np.float32)
    return log_prior(pool.labels[rows], pool.n_classes)


def _problems(
    pool: Pool,
    subspace: Subspace,
    offset: torch.Tensor | None,
    splits: list[tuple[NDArray[np.int64], NDArray[np.int64], slice]],
) -> Problems:
    learned = torch.zeros(len(splits), len(pool.labels))
    for place, (rows, _, _) in enumerate(splits):
        learned[place, torch.from_numpy(rows)] = _counts_for(pool, rows)
    return Problems(
        subspace.rows,
        subspace.variances,
        torch.from_numpy(pool.labels),
        n_classes=pool.n_classes,
        weights=learned,
        offset=offset,
        soft=None if pool.soft is None else torch.from_numpy(pool.soft),
    )


SHORTCUT = Shortcut(linear_heads, _kinds)
