"""Discriminants and prototypes in cross-validation: sums over all rows less those of a fold.

A fold's means and scatter are those of all rows without its own, so nothing is fitted again. It
knows the closed forms of these heads and no other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cliptune.heads.choice import best_mixture
from cliptune.heads.discriminant import shrink, shrinking
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.candidates import Pool, Setting, best_setting, scanned
from cliptune.selection.folds import Folds
from cliptune.selection.subspace import Subspace

__all__ = ["discriminants", "prototypes"]

_SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 0.98)
_IN_FEW = 2  # coordinates for each held row and class, from which on these are fewer to solve for
_LEAST_TEXT = 1e-4  # weight of the texts against the Gaussian part, below which they are left out


def prototypes(pool: Pool, folds: Folds, features: str) -> Setting:
    """Answer by the cosine to class means without the held rows."""
    rows = pool.columns(features)
    sums = _class_sums(rows, pool.labels, pool.n_classes)
    logits = np.empty((len(folds.rows), pool.n_classes), np.float32)
    for _, held, place in folds.splits():
        means = sums - _class_sums(rows[held], pool.labels[held], pool.n_classes)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        logits[place] = pool.logit_scale * (rows[held] @ means.T.astype(np.float32))
    return Setting({"features": features}, logits)


def discriminants(pool: Pool, folds: Folds, features: str, subspace: Subspace) -> Setting:
    """Answer by shrunken discriminants with as much of the texts as suits them.

    Args:
        pool: The data.
        folds: What is left out.
        features: Whose rows the subspace holds.
        subspace: The rows in fewer coordinates.
    """
    labels = pool.labels[folds.rows]
    texts = zero_shot_logits(pool.vectors, pool.text_rows, pool.logit_scale)[folds.rows]
    parts = _gaussian_parts(pool, folds, subspace)
    settings = (
        _with_texts(texts, part, labels, {"features": features, "shrinkage": shrinkage})
        for shrinkage, part in zip(_SHRINKAGES, parts, strict=True)
    )
    return best_setting(settings, labels)


def _with_texts(
    texts: NDArray[np.float32],
    gaussian: NDArray[np.float32],
    labels: NDArray[np.int64],
    options: dict[str, str | float],
) -> Setting:
    """Weigh the zero-shot logits against the Gaussian part by the lowest log-loss of the two."""
    shown = scanned(texts)
    of_texts, of_gaussian = best_mixture([texts[shown], gaussian[shown]], labels[shown])
    if of_texts <= _LEAST_TEXT * of_gaussian:
        return Setting({**options, "mix": 1.0, "text": 0.0}, gaussian)
    mix = max(float(of_gaussian / of_texts), 1e-6)
    return Setting({**options, "mix": mix, "text": 1.0}, texts + np.float32(mix) * gaussian)


def _gaussian_parts(pool: Pool, folds: Folds, subspace: Subspace) -> Iterator[NDArray[np.float32]]:
    """Give the logits of the Gaussian part, float32 (H, C), for each shrinkage."""
    found = np.empty((len(_SHRINKAGES), len(folds.rows), pool.n_classes), np.float32)
    rows, labels = subspace.rows.numpy(), pool.labels
    squares = np.square(rows, dtype=np.float64).sum(axis=0)  # in an eigenbasis these are all
    sums = _class_sums(rows, labels, pool.n_classes)
    counts = np.bincount(labels, minlength=pool.n_classes)
    for _, held, place in folds.splits():
        left = sums - _class_sums(rows[held], labels[held], pool.n_classes)
        left_counts = np.maximum(counts - np.bincount(labels[held], minlength=pool.n_classes), 1)
        means = left / left_counts[:, None]
        if _IN_FEW * (len(held) + pool.n_classes) <= rows.shape[1]:
            found[:, place] = _answers_of_few(
                rows[held], squares, means, left_counts, len(rows) - len(held), subspace.dim
            )
            continue
        # The sum of x x' over a class is n S + n m m'; S within classes is what is left.
        within = -_product(rows[held]) - (means * left_counts[:, None]).T @ means
        within[np.diag_indices(len(within))] += squares
        within /= len(rows) - len(held)
        found[:, place] = _answers(rows[held], within, means, subspace.dim)
    yield from found


def _answers(
    held: NDArray[np.float32], within: NDArray[np.float64], means: NDArray[np.float64], dim: int
) -> NDArray[np.float32]:
    from scipy.linalg import cho_factor, cho_solve

    answers = np.empty((len(_SHRINKAGES), len(held), len(means)), np.float32)
    for number, shrinkage in enumerate(_SHRINKAGES):
        factor = cho_factor(shrink(within, means, shrinkage, dim), overwrite_a=True)
        weight = cho_solve(factor, means.T).T
        bias = -0.5 * (weight * means).sum(axis=1)
        answers[number] = held @ weight.T.astype(np.float32) + bias.astype(np.float32)
    return answers


def _answers_of_few(
    held: NDArray[np.float32],
    squares: NDArray[np.float64],
    means: NDArray[np.float64],
    counts: NDArray[np.int64],
    n: int,
    dim: int,
) -> NDArray[np.float32]:
    """Answer where held rows and classes are fewer than coordinates.

    The shrunken covariance is a diagonal D less V V', whose columns are the held rows and the
    means, each weighed; so V' (D - V V')^-1 V = (I - V' D^-1 V)^-1 - I (Woodbury's identity)
    holds all answers and biases, in a matrix as large as V has columns.

    Args:
        held: float32 (H, m).
        squares: float64 (m,), the sums of squares of all rows, whose products vanish.
        means: float64 (C, m), without the held rows.
        counts: int64 (C,), rows of each mean.
        n: How many rows are learned from.
        dim: How long the rows were.
    """
    from scipy.linalg import cho_factor, cho_solve

    roots = np.sqrt(counts)
    columns = np.concatenate([held, means * roots[:, None]]) / np.sqrt(n)
    spread = float(squares.sum() / n - np.square(columns).sum())
    of_means = np.eye(len(columns))[:, len(held) :]
    answers = np.empty((len(_SHRINKAGES), len(held), len(means)), np.float32)
    for number, shrinkage in enumerate(_SHRINKAGES):
        kept, ridge = shrinking(spread, means, shrinkage, dim)
        if kept == 0:  # nothing varies within classes
            weight = means / ridge
            answers[number] = held @ weight.T - 0.5 * (weight * means).sum(axis=1)
            continue
        scaled = columns * np.sqrt(kept / (kept * squares / n + ridge))
        factor = cho_factor(np.eye(len(columns)) - scaled @ scaled.T, overwrite_a=True)
        found = (cho_solve(factor, of_means) - of_means) * (n / (kept * roots))
        bias = -0.5 * np.diagonal(found[len(held) :]) / roots
        answers[number] = found[: len(held)] + bias
    return answers


def _class_sums(
    rows: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    from scipy.sparse import csr_array

    entries = (np.ones(len(labels)), (labels, np.arange(len(labels))))
    members = csr_array(entries, shape=(n_classes, len(labels)))
    sums: NDArray[np.float64] = np.asarray(members @ rows.astype(np.float64))
    return sums


def _product(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return rows.T @ rows; products in single precision, summed in double by blocks."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        total += part.T @ part
    return total
