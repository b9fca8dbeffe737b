"""Checks of what the untrained model makes of the data: duplicates, zero-shot, labels.

They see unit vectors and labels, never a model or an image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cliptune.checks.results import CheckResult
from cliptune.evaluation.distributions import binomial_quantile
from cliptune.splits.duplicates import find_duplicates
from cliptune.system.formatting import decimal, percent

__all__ = ["chance_accuracy", "check_duplicates", "check_labels", "check_zero_shot"]

_LISTED = 20
_FOLDS = 5
_RIDGE = 1.0
_CERTAINTY = 0.99


def check_duplicates(
    vectors: NDArray[np.float32], ids: tuple[str, ...], splits: NDArray[np.str_]
) -> CheckResult:
    """Look for images in different splits that look alike.

    Args:
        vectors: (N, D), unit rows.
        ids: N names.
        splits: (N,), ``train``, ``val`` or ``test``.
    """
    pairs = find_duplicates(vectors)
    across = [
        (int(i), int(j), float(s))
        for i, j, s in zip(pairs.first, pairs.second, pairs.similarity, strict=True)
        if splits[i] != splits[j]
    ]
    listed = [
        {"first": ids[i], "second": ids[j], "similarity": round(s, 4)}
        for i, j, s in sorted(across, key=lambda pair: -pair[2])[:_LISTED]
    ]
    at_least = "At least " if pairs.n_all > len(pairs) else ""
    return CheckResult(
        name="duplicates",
        status="warned" if across else "passed",
        value={"across_splits": len(across), "in_all": pairs.n_all, "listed": listed},
        expected={"across_splits": 0},
        meaning=(
            f"{at_least}{len(across)} pairs of near-duplicates stand in different splits, so "
            "scores flatter."
            if across
            else f"No near-duplicates stand in different splits ({pairs.n_all} within one)."
        ),
        advice=(
            "Look at the listed pairs; remove them from training, or split by groups."
            if across
            else "Nothing to do."
        ),
    )


def check_zero_shot(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    class_rows: NDArray[np.float32],
    scale: float,
) -> CheckResult:
    """Hold the loss of the untrained model against that of guessing, ln C.

    Args:
        vectors: (N, D), unit rows.
        labels: int64 (N,).
        class_rows: (C, D), unit rows of the class texts.
        scale: Factor on cosines.
    """
    logits = scale * vectors.astype(np.float64) @ class_rows.T.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    loss = float((log_sum - logits[np.arange(len(labels)), labels]).mean())
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    guess, bound = math.log(len(class_rows)), chance_accuracy(labels, len(class_rows))
    knows = accuracy > bound and loss < guess
    return CheckResult(
        name="zero_shot",
        status="passed" if knows else "warned",
        value={"loss": round(loss, 4), "accuracy": round(accuracy, 4)},
        expected={"loss_below": round(guess, 4), "accuracy_above": round(bound, 4)},
        meaning=(
            f"Before any training the class names give {percent(accuracy)} accuracy at a loss of "
            f"{decimal(loss)}; guessing gives ln C = {decimal(guess)}."
        ),
        advice=(
            "Nothing to do."
            if knows
            else "The model does no better than guessing: check that labels and class names belong "
            "together and say what the images show."
        ),
    )


def check_labels(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], *, seed: int
) -> tuple[CheckResult, CheckResult]:
    """Fit a linear probe to the labels as they are, and to the same labels shuffled.

    Both are scored on held-out fifths. The first must beat guessing, or the labels have nothing
    to do with the images; the second must not, or something leaks.

    Args:
        vectors: (N, D), unit rows.
        labels: int64 (N,).
        seed: Of folds and shuffling.
    """
    rng = np.random.default_rng(seed)
    real = _held_out_accuracy(vectors, labels, seed)
    shuffled = _held_out_accuracy(vectors, rng.permutation(labels), seed)
    bound = chance_accuracy(labels, int(labels.max()) + 1)
    signal, leak = real > bound, shuffled > bound
    return (
        CheckResult(
            name="label_signal",
            status="passed" if signal else "warned",
            value=round(real, 4),
            expected=f"above {decimal(bound)}",
            meaning=(
                f"A linear probe gets {percent(real)} of held-out training images right; guessing "
                f"stays below {percent(bound)}."
            ),
            advice=(
                "Nothing to do."
                if signal
                else "The labels do not follow from the images: look for a shifted column or "
                "shuffled rows in the manifest."
            ),
        ),
        CheckResult(
            name="shuffled_labels",
            status="warned" if leak else "passed",
            value=round(shuffled, 4),
            expected=f"at most {decimal(bound)}",
            meaning=f"With labels shuffled the probe gets {percent(shuffled)}; it has to guess.",
            advice=(
                "Images repeat in training, or the features carry the labels: look for duplicates."
                if leak
                else "Nothing to do."
            ),
        ),
    )


def _held_out_accuracy(vectors: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> float:
    """Five-fold accuracy of ridge regression to one-hot targets."""
    n_classes = int(labels.max()) + 1
    folds = np.random.default_rng(seed).permutation(len(labels)) % _FOLDS
    rows = np.concatenate([vectors, np.ones((len(vectors), 1), np.float32)], axis=1)
    hits = 0
    for fold in range(_FOLDS):
        train, test = folds != fold, folds == fold
        x = rows[train].astype(np.float64)
        targets = np.eye(n_classes)[labels[train]]
        weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ targets)
        hits += int(((rows[test] @ weights).argmax(axis=1) == labels[test]).sum())
    return hits / len(labels)


def chance_accuracy(
    labels: NDArray[np.int64], n_classes: int, *, certainty: float = _CERTAINTY
) -> float:
    """Return the accuracy that guessing stays below, 99 times in 100.

    The best guess without looking is the most frequent class.

    Args:
        labels: int64 (N,).
        n_classes: C.
        certainty: Share of all draws in which guessing stays below.
    """
    share = float(np.bincount(labels, minlength=n_classes).max() / len(labels))
    return binomial_quantile(certainty, len(labels), share) / len(labels)
