"""Small pools of rows whose classes are known."""

import numpy as np

from cliptune.selection.candidates import Pool
from cliptune.selection.shortcuts import Given
from cliptune.selection.subspace import span


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_pool(n_per_class=12, n_classes=3, dim=10, extra=14, noise=0.8, seed=0):
    """Clusters that the features before the projection tell apart better than the embedding."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), n_per_class)
    centres = rng.normal(size=(n_classes, dim + extra))
    rows = centres[labels] + noise * rng.normal(size=(len(labels), dim + extra))
    vectors = unit(rows[:, :dim] + 0.8 * rng.normal(size=(len(labels), dim))).astype(np.float32)
    behind = unit(rows[:, dim:]).astype(np.float32)
    texts = unit(centres[:, :dim] + rng.normal(size=(n_classes, dim))).astype(np.float32)
    return Pool(vectors, np.hstack([vectors, behind]), None, labels, texts, 20.0)


def given_of(pool, folds):
    """What a shortcut answers from that needs no other method's answers."""
    return Given(pool, folds, pool.all_features, lambda f: span(pool.columns(f)), {}.__getitem__)
