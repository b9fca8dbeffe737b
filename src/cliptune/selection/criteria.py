"""The score that methods are compared by, as a mean over images.

It sees probabilities and labels, and knows nothing about methods or folds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.selection.methods import check_criterion

__all__ = ["grade", "grade_answers"]


def grade(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], select: str
) -> NDArray[np.float64]:
    """Return each answer's part in a score, higher for better; their mean is the score.

    - ``accuracy``: 1 where right.
    - ``balanced-accuracy``, the mean recall R of the K classes that occur: R + h_i with the
      influence function h_i = N / (K n_c) ([right] - R_c) for the recall R_c of the label's class.
    - ``macro-f1``, the mean F1 of the K classes that occur or were answered: F + h_i with h_i =
      N / K sum_c (2 [y = a = c] - F_c ([y = c] + [a = c])) / (n_c + m_c) for answers a and the
      counts n_c of labels and m_c of answers. The h_i sum to 0, and their variance is that of the
      score (the delta method), so that the same tests hold.
    - ``log-loss``: the log-probability of the label, in nats.

    Args:
        probabilities: float64 (N, C).
        labels: int64 (N,), 0..C-1.
        select: A name in ``CRITERIA``.
    """
    check_criterion(select)
    n, n_classes = probabilities.shape
    if select == "log-loss":
        sure: NDArray[np.float64] = np.log(np.maximum(probabilities[np.arange(n), labels], 1e-300))
        return sure
    return grade_answers(probabilities.argmax(axis=1), labels, n_classes, select)


def grade_answers(
    answers: NDArray[np.int64], labels: NDArray[np.int64], n_classes: int, select: str
) -> NDArray[np.float64]:
    """Return each answer's part in a score that sees answers alone; see ``grade``.

    Args:
        answers: int64 (N,), 0..C-1.
        labels: int64 (N,), likewise.
        n_classes: C.
        select: ``accuracy``, ``balanced-accuracy`` or ``macro-f1``.
    """
    n = len(labels)
    right: NDArray[np.float64] = (answers == labels).astype(np.float64)
    counts = np.bincount(labels, minlength=n_classes)
    if select == "accuracy":
        return right
    hits = np.bincount(labels, weights=right, minlength=n_classes)
    if select == "balanced-accuracy":
        recalls = hits / np.maximum(counts, 1)
        n_known = np.count_nonzero(counts)
        parts = (right - recalls[labels]) / counts[labels] * n / n_known
        return np.asarray(recalls.sum() / n_known + parts)
    both = counts + np.bincount(answers, minlength=n_classes)
    n_known = np.count_nonzero(both)
    scores = 2 * hits / np.maximum(both, 1)
    shares = scores / np.maximum(both, 1)
    influence = 2 * right / both[labels] - shares[labels] - shares[answers]
    found: NDArray[np.float64] = scores.sum() / n_known + influence * n / n_known
    return found
