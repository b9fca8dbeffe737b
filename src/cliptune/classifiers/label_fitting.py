"""What classifiers of several labels an image are chosen and fitted on.

It knows features and who may see which image, and nothing about methods.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.label_classifier import FEATURES, features_of
from cliptune.multilabel.choosing import LabelData
from cliptune.splits.label_sets import LabelPartition

__all__ = ["learned_from"]


def learned_from(
    vectors: NDArray[np.float32],
    trunk: NDArray[np.float32] | None,
    truth: NDArray[np.bool_],
    partition: LabelPartition,
    *,
    text_rows: NDArray[np.float32],
    logit_scale: float,
    seed: int,
) -> LabelData:
    """Put together what ways of answering are chosen and fitted on: no image of the test.

    Args:
        vectors: float32 (N, D), embeddings of all images.
        trunk: The same with the features before the projection behind them, or nothing.
        truth: bool (N, C).
        partition: Who may see which image.
        text_rows: float32 (C, D), of the class texts.
        logit_scale: The encoder's factor on cosines.
        seed: Of everything random.
    """
    rows = partition.train
    kinds = FEATURES if trunk is not None else FEATURES[:1]
    own = None if trunk is None else trunk[rows]
    return LabelData(
        features={kind: features_of(kind, vectors[rows], own) for kind in kinds},
        truth=truth[rows],
        groups=partition.groups[rows],
        text_rows=text_rows,
        logit_scale=logit_scale,
        seed=seed,
    )
