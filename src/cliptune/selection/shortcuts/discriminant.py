"""Discriminants in cross-validation: sums over all rows less those of a fold.

A fold's means and scatter are those of all rows without its own, so nothing is fitted again. It
knows the closed form of this head and no other.
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
from cliptune.selection.shortcuts import Given, Shortcut
from cliptune.selection.shortcuts.prototype import sums_by_class
from cliptune.selection.subspace import Subspace

__all__ = ["SHORTCUT", "SHRINKAGES", "discriminants", "shrunken_answers", "with_texts"]

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 0.98)
_IN_FEW = 2  # coordinates for each held row and class, from which on these are fewer to solve for
_LEAST_SIZE = 1e-3  # rows of a class whose labels are not certain, without those held out
_LEAST_TEXT = 1e-4  # weight of the texts against the Gaussian part, below which they are left out


def discriminants(given: Given, features: str) -> Setting:
    """Answer by shrunken discriminants with as much of the texts as suits them."""
    pool, folds = given.pool, given.folds
    labels = pool.labels[folds.rows]
    texts = zero_shot_logits(pool.vectors, pool.text_rows, pool.logit_scale)[folds.rows]
    parts = _gaussian_parts(pool, folds, given.subspace(features))
    settings = (
        with_texts(texts, part, labels, {"features": features, "shrinkage": shrinkage})
        for shrinkage, part in zip(SHRINKAGES, parts, strict=True)
    )
    return best_setting(settings, labels)


def with_texts(
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
    found = np.empty((len(SHRINKAGES), len(folds.rows), pool.n_classes), np.float32)
    rows = subspace.rows.numpy()
    everything, least = np.arange(len(rows)), 1.0 if pool.soft is None else _LEAST_SIZE
    squares = np.square(rows, dtype=np.float64).sum(axis=0)  # in an eigenbasis these are all
    sums, sizes = sums_by_class(pool, rows, everything), pool.class_sizes(everything)
    for _, held, place in folds.splits():
        left = sums - sums_by_class(pool, rows, held)
        left_counts = np.maximum(sizes - pool.class_sizes(held), least)
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
        found[:, place] = shrunken_answers(rows[held], within, means, subspace.dim)
    yield from found


def shrunken_answers(
    held: NDArray[np.float32], within: NDArray[np.float64], means: NDArray[np.float64], dim: int
) -> NDArray[np.float32]:
    """Return the logits of the Gaussian part for each shrinkage, float32 (S, H, C).

    Args:
        held: float32 (H, m), rows to answer for.
        within: float64 (m, m), the covariance within classes.
        means: float64 (C, m), the class means.
        dim: D, the length of the rows themselves.
    """
    from scipy.linalg import cho_factor, cho_solve

    answers = np.empty((len(SHRINKAGES), len(held), len(means)), np.float32)
    for number, shrinkage in enumerate(SHRINKAGES):
        factor = cho_factor(shrink(within, means, shrinkage, dim), overwrite_a=True)
        weight = cho_solve(factor, means.T).T
        bias = -0.5 * (weight * means).sum(axis=1)
        answers[number] = held @ weight.T.astype(np.float32) + bias.astype(np.float32)
    return answers


def _answers_of_few(
    held: NDArray[np.float32],
    squares: NDArray[np.float64],
    means: NDArray[np.float64],
    counts: NDArray[np.float64],
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
        counts: float64 (C,), what each mean is of.
        n: How many rows are learned from.
        dim: How long the rows were.
    """
    from scipy.linalg import cho_factor, cho_solve

    roots = np.sqrt(counts)
    columns = np.concatenate([held, means * roots[:, None]]) / np.sqrt(n)
    spread = float(squares.sum() / n - np.square(columns).sum())
    of_means = np.eye(len(columns))[:, len(held) :]
    answers = np.empty((len(SHRINKAGES), len(held), len(means)), np.float32)
    for number, shrinkage in enumerate(SHRINKAGES):
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


def _product(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return rows.T @ rows; products in single precision, summed in double by blocks."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        total += part.T @ part
    return total


SHORTCUT = Shortcut(discriminants)
