"""Images without labels, which move a fitted linear method: how, what that is worth, kept or not.

It sees rows of features and a head's weights, and knows nothing about files or how results are
shown.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh

from cliptune.errors import InputError
from cliptune.evaluation.calibration import apply_temperature, fit_temperature
from cliptune.heads import HEADS, Needs
from cliptune.heads.arrays import softmax
from cliptune.heads.build import make_head
from cliptune.selection.judging import Gain, Judged, compare

if TYPE_CHECKING:
    from cliptune.classifiers.fitting import Fitted
    from cliptune.heads import Head
    from cliptune.selection.candidates import Pool
    from cliptune.selection.folds import Folds

__all__ = [
    "LearnedUnlabelled",
    "Unlabelled",
    "anchor",
    "learn_unlabelled",
    "not_learned",
    "require_linear",
]

_ROUNDS = 8
_COLUMNS = 256  # principal components of what was seen, that Gaussians are fitted in
_SHRINKAGE = 0.4  # of the covariance, towards a multiple of the identity
_FLOOR = 1e-6  # of the probabilities that anchor
_LINEAR = "discriminant, linear, blend or linear-sgd"


@dataclass(frozen=True)
class Unlabelled:
    """Images of which no label is known.

    Attributes:
        vectors: float32 (M, D), unit rows.
        trunk: float32 (M, D + E), the vectors with the features before the projection behind
            them, or None where the encoder has none.
    """

    vectors: NDArray[np.float32]
    trunk: NDArray[np.float32] | None

    def rows(self, needs: Needs) -> NDArray[np.float32]:
        """Return what a head takes that needs such rows."""
        if needs == "pooled":
            return self.vectors
        assert self.trunk is not None  # methods were compared on the same features
        return self.trunk


@dataclass(frozen=True)
class LearnedUnlabelled:
    """What came of learning from images without labels.

    Attributes:
        method: The method that they move; None where there is none to move.
        n: How many images there are.
        kept: Its weights are moved; its answers are as they were otherwise.
        before: How often it was right on held-out images without them.
        gain: From that to its answers with them.
        reason: Why it could not be moved.
    """

    method: str | None
    n: int
    kept: bool
    before: float | None = None
    gain: Gain | None = None
    reason: str | None = None


def require_linear(method: str) -> None:
    """Make sure that a method is a linear classifier, whose weights can be moved.

    Raises:
        InputError: It is none.
        UnknownNameError: There is no such method.
    """
    if not _is_linear(method):
        raise InputError(
            f"--unlabelled came with --method {method}, which has no weights to move; name "
            f"{_LINEAR}, or leave --method out"
        )


def _is_linear(method: str) -> bool:
    axes = cast("Any", HEADS[method]).saved_axes  # Any: every head is a BaseHead
    return bool(axes.get("weight") == 2 and axes.get("bias") == 1)


def not_learned(method: str | None, n: int, reason: str | None = None) -> LearnedUnlabelled | None:
    """Say why a method cannot be moved; None where it can.

    Args:
        method: The method to ship; None where none is recommended.
        n: Images without labels.
        reason: Why none can be, whatever the method.
    """
    if reason is None and method is None:
        reason = "no method is recommended"
    if reason is None and not _is_linear(cast("str", method)):
        reason = f"{method} has no weights to move; name one that has as --method: {_LINEAR}"
    return None if reason is None else LearnedUnlabelled(method, n, False, reason=reason)


def learn_unlabelled(
    fitted: Fitted, pool: Pool, folds: Folds, unlabelled: Unlabelled
) -> tuple[LearnedUnlabelled, Fitted, NDArray[np.float64]]:
    """Let images without labels move a linear method; keep that unless it is shown to be worse.

    The same is done without each fold of the first repeat, whose images then say what it is worth.
    Such images were given to be used, so that the method without them takes its place only where
    it is shown to be right more often: where the 95 % interval of the difference lies below 0.

    Args:
        fitted: A linear method.
        pool: The labelled images.
        folds: What is left out.
        unlabelled: Images without labels, none of them of the locked test.

    Returns:
        What came out; the method with weights and temperature moved, where that is kept; and its
        probabilities float64 (h, C) for the held-out rows of the first repeat.
    """
    once = folds.first_repeat()
    labels = pool.labels[once.rows]
    plain, moved = _held_out(fitted, pool, once, unlabelled)
    temperature = fit_temperature(moved, labels)
    probabilities = apply_temperature(moved, temperature)
    before, after = (
        Judged.of(one, pool.labels, folds) for one in (apply_temperature(plain, 1.0), probabilities)
    )
    gain = compare(before, after)
    kept = gain.high >= 0
    found = LearnedUnlabelled(fitted.name, len(unlabelled.vectors), kept, before.accuracy, gain)
    if kept:
        everything = np.arange(len(pool.labels))
        head = _moved(fitted.head, fitted, pool, everything, unlabelled)
        fitted = replace(fitted, head=head, temperature=temperature)
    return found, fitted, probabilities


def _held_out(
    fitted: Fitted, pool: Pool, folds: Folds, unlabelled: Unlabelled
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits over the temperature for what is held out, without and with the images."""
    plain, moved = (np.empty((len(folds.rows), pool.n_classes), np.float32) for _ in range(2))
    for learned, held, place in folds.splits():
        head = make_head(fitted.name, fitted.settings, seed=pool.seed)
        head.fit(
            pool.rows(learned, head.needs),
            pool.labels[learned],
            text_rows=pool.text_rows,
            logit_scale=pool.logit_scale,
            soft_labels=pool.soft_of(learned) if head.takes_soft_labels else None,
        )
        rows = pool.rows(held, head.needs)
        plain[place] = head.predict_logits(rows) / np.float32(fitted.temperature)
        moved[place] = _moved(head, fitted, pool, learned, unlabelled).predict_logits(rows)
    return plain, moved


def _moved(
    head: Head, fitted: Fitted, pool: Pool, learned: NDArray[np.int64], unlabelled: Unlabelled
) -> Head:
    """Return a fitted head whose logits are its own over the temperature, and the Gaussians'."""
    others = unlabelled.rows(head.needs)
    whole = replace(pool, vectors=unlabelled.vectors, trunk=unlabelled.trunk)
    soft = pool.soft_of(learned) if head.takes_soft_labels else None
    known = np.eye(pool.n_classes)[pool.labels[learned]] if soft is None else soft
    weight, bias = anchor(
        pool.columns(fitted.features)[learned],
        known,
        whole.columns(fitted.features),
        softmax(head.predict_logits(others) / np.float32(fitted.temperature)),
    )
    moved = cast("Any", copy(head))  # Any: a head with weights and a bias
    added = np.zeros(moved.weight_.shape)
    behind = fitted.features == "penultimate"
    added[:, pool.vectors.shape[1] if behind else 0 :] = weight
    moved.weight_ = (moved.weight_ / fitted.temperature + added).astype(np.float32)
    moved.bias_ = (moved.bias_ / fitted.temperature + bias).astype(np.float32)
    return cast("Head", moved)


def anchor(
    rows: NDArray[np.floating[Any]],
    known: NDArray[np.floating[Any]],
    others: NDArray[np.floating[Any]],
    probabilities: NDArray[np.floating[Any]],
    *,
    counted: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what images without labels add to a classifier's logits.

    Expectation maximisation of Gaussian classes with one shrunk covariance, on the leading
    principal components of what was seen. A labelled image counts for its class, another for each
    by its probability; what the classifier answered for it stays its prior, as texts are in StatA
    (arXiv:2501.03729), and the logits of the Gaussians are brought to the spread of that prior's
    logarithms: in so many dimensions they would be far too sure. A class that no such image shows
    keeps the mean of its labels.

    Args:
        rows: (n, m), labelled images.
        known: (n, C), what each counts for each class.
        others: (M, m), images without labels.
        probabilities: (M, C), the classifier's answers for these, calibrated.
        counted: What an image without a label counts, beside one with.

    Returns:
        Weights float64 (C, m) and biases float64 (C,): logits to add to the logarithms of the
        classifier's probabilities.
    """
    mean, basis = _principal(np.concatenate([rows, others]))
    rows, others = (rows - mean) @ basis, (others - mean) @ basis
    prior = np.log(probabilities + _FLOOR)
    shares = np.asarray(probabilities, np.float64)
    spread = prior.std()
    for _ in range(_ROUNDS):
        weight, bias = _gaussians(rows, known, others, counted * shares)
        gaussian = others @ weight.T + bias
        gaussian -= gaussian.mean(axis=1, keepdims=True)
        scale = spread / max(float(gaussian.std()), 1e-9)
        shares = softmax(scale * gaussian + prior)
    weight = scale * weight @ basis.T
    return weight, scale * bias - weight @ mean


def _principal(
    seen: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean (m,) and the leading directions (m, k)."""
    mean = seen.mean(axis=0, dtype=np.float64)
    centred = seen - mean
    n, size = seen.shape
    kept = min(_COLUMNS, size, max(n - 1, 1))
    products = centred @ centred.T if n < size else centred.T @ centred
    last = len(products) - 1
    values, basis = eigh(products, subset_by_index=(last + 1 - kept, last))
    if n < size:  # products of images: the same directions, from fewer numbers
        basis = centred.T @ (basis / np.sqrt(np.maximum(values, 1e-12)))
    return mean, basis


def _gaussians(
    rows: NDArray[np.floating[Any]],
    known: NDArray[np.floating[Any]],
    others: NDArray[np.floating[Any]],
    shares: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (C, k) and biases (C,) of classes as likely as each other."""
    counts = np.maximum(known.sum(axis=0) + shares.sum(axis=0), 1e-9)
    means = (known.T @ rows + shares.T @ others) / counts[:, None]
    total = (rows * known.sum(axis=1)[:, None]).T @ rows
    total = total + (others * shares.sum(axis=1)[:, None]).T @ others
    within = (total - (means * counts[:, None]).T @ means) / counts.sum()
    mixed = (1 - _SHRINKAGE) * within
    mixed[np.diag_indices(len(mixed))] += _SHRINKAGE * np.trace(within) / len(mixed) + 1e-12
    weight = cho_solve(cho_factor(mixed), means.T).T
    return weight, -0.5 * (weight * means).sum(axis=1)
