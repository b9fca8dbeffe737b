"""Can a linear probe tell images from texts?

It knows nothing about gaps or maps; it answers for each point whether a probe that never saw
the point's group put it on the right side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.pairing import Pairing

__all__ = ["probe_modality"]

_N_FOLDS = 5


def probe_modality(
    images: NDArray[np.floating],
    texts: NDArray[np.floating],
    pairing: Pairing,
    *,
    seed: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Cross-validate a logistic regression that tells images from texts.

    The two modalities weigh the same however many points each has, and the folds split groups:
    an image is never judged by a probe that was fitted on the text it belongs to. Vectors are
    centred and divided by one number, the root of their mean variance, so that the penalty
    (C = 1) means the same for every encoder.

    Args:
        images: (N, D).
        texts: (M, D).
        pairing: Their groups, at least two.
        seed: Seed of the folds.

    Returns:
        Whether the held-out answer is right, for each image (N,) and each text (M,).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    points = np.concatenate([images, texts]).astype(np.float64)
    points -= points.mean(axis=0)
    points /= max(float(np.sqrt(points.var(axis=0).mean())), np.finfo(np.float64).tiny)
    is_text = np.repeat([0, 1], [len(images), len(texts)])
    folds = GroupKFold(min(_N_FOLDS, pairing.n_groups), shuffle=True, random_state=seed)
    predicted = cross_val_predict(
        LogisticRegression(class_weight="balanced", max_iter=2000),
        points,
        is_text,
        groups=np.concatenate([pairing.image_groups, pairing.text_groups]),
        cv=folds,
    )
    right = predicted == is_text
    return right[: len(images)], right[len(images) :]
