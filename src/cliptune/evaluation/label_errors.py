"""Likely label errors: images whose label others of the same data contradict.

It sees vectors, labels and class texts, and knows nothing about files. The method is confident
learning (Northcutt et al., arXiv:1911.00068) on probabilities that no image had a part in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.cores import Cores
from cliptune.heads.linear import LinearHead
from cliptune.system.blas import one_blas_thread

__all__ = ["LabelErrors", "find_label_errors", "out_of_fold_probabilities"]

_FOLDS = 5
_SIDE_BY_SIDE = 20_000  # images, up to which folds are fitted at the same time


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label is probably another, the surest first.

    Attributes:
        rows: int64 (E,), which of the N images.
        suggested: int64 (E,), the class that each seems to be of.
        margin: float64 (E,), probability of that class minus that of the label.
        confident_joint: int64 (C, C): images by label (rows) and by the class that they
            confidently belong to (columns); those that belong to none are not counted.
    """

    rows: NDArray[np.int64]
    suggested: NDArray[np.int64]
    margin: NDArray[np.float64]
    confident_joint: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def out_of_fold_probabilities(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    text_rows: NDArray[np.float32],
    logit_scale: float,
    seed: int = 0,
) -> NDArray[np.float64] | None:
    """Return each image's probabilities by a linear head that learned from the other folds.

    Five folds, stratified, or as many as the smallest class has images. Near-duplicates are not
    kept together: two copies with the same wrong label confirm each other.

    Args:
        vectors: float32 (N, D), unit rows.
        labels: int64 (N,), 0..C-1.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
        seed: Of the folds.

    Returns:
        float64 (N, C), or None where a class has a single image: nothing can be learned of it
        while it is left out.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(labels, minlength=len(text_rows))
    n_folds = min(_FOLDS, int(counts[counts > 0].min()))
    if n_folds < 2:
        return None
    probabilities = np.empty((len(labels), len(text_rows)))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)

    def leave_out(split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
        others, left_out = split
        head = LinearHead().fit(
            vectors[others], labels[others], text_rows=text_rows, logit_scale=logit_scale
        )
        probabilities[left_out] = head.predict_proba(vectors[left_out])

    # Many images keep all cores busy by themselves, and each fold in work holds a copy of them.
    # The limit is the solver's own, set here since only one thread can set it back.
    together = n_folds if len(labels) <= _SIDE_BY_SIDE else 1
    with one_blas_thread(), Cores(together) as cores:
        cores.map(leave_out, list(folds.split(vectors, labels)))
    return probabilities


def find_label_errors(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> LabelErrors:
    """List the images that confidently belong to another class than their label says.

    An image belongs confidently to class j when its probability of j is at least the mean
    probability of j among the images labelled j (arXiv:1911.00068, equations 1 and 2); among
    several, to the most probable one. Those off the diagonal of the counts are the errors (the
    paper's method "C confident joint"); there is no second pruning step. They are ranked by the
    margin by which the other class is more probable.

    Args:
        labels: int64 (N,), 0..C-1, as they came.
        probabilities: float64 (N, C), made without the image itself.

    Raises:
        InputError: The two do not fit together.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise InputError(
            f"probabilities {probabilities.shape} came for {len(labels)} labels; expected (N, C)"
        )
    n_classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=n_classes)
    sums = np.bincount(labels, weights=own, minlength=n_classes)
    # Nothing is labelled with an empty class, so nothing says how sure is sure of it.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    belongs, sure = reached.argmax(axis=1), reached.max(axis=1) >= 0
    joint = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(joint, (labels[sure], belongs[sure]), 1)
    rows = np.flatnonzero(sure & (belongs != labels))
    margin = probabilities[rows, belongs[rows]] - own[rows]
    order = np.argsort(-margin, kind="stable")
    return LabelErrors(rows[order], belongs[rows[order]], margin[order], joint)
