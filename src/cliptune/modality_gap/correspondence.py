"""Do the two modalities say the same: arranged alike, and found from one another?

It knows nothing about the offset between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import wilson_interval
from cliptune.modality_gap.definitions import ENOUGH_GROUPS
from cliptune.modality_gap.measured import (
    Matrix,
    Measured,
    Space,
    as_measured,
    over_resamples,
    subset_space,
)
from cliptune.modality_gap.retrieval import RECALL_AT, match_ranks
from cliptune.modality_gap.structure import (
    centred_gram,
    cosine_ranks,
    linear_cka,
    similarity_correlation,
)
from cliptune.system.blas import one_blas_thread

__all__ = ["measure_recalls", "measure_structure"]

MAX_CLASSES = 300
_BLOCK_VALUES = 8_000_000


def measure_structure(space: Space, *, seed: int) -> dict[str, Measured]:
    """Compare the groups' arrangement in both modalities; empty for fewer than four groups.

    Captioned images are groups themselves, those that share a picture or a wording one together,
    and are resampled. Classes stay as they are (300 of
    them at most, drawn with the seed); resampled are the images that their means are taken over.
    """
    if space.pairing.n_groups < ENOUGH_GROUPS:
        return {}
    if space.pairing.has_own_texts:
        return _structure_of_images(subset_space(space, seed=seed), seed)
    return _structure_of_classes(space, seed)


def _structure_of_images(space: Space, seed: int) -> dict[str, Measured]:
    apart = space.set_apart()
    if apart.n_groups < ENOUGH_GROUPS:
        return {}
    images = _arrangement(_group_means(space.images, apart.image_groups))
    texts = _arrangement(_group_means(space.texts, apart.text_groups))

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        return _agreement(images, texts, apart.group_sums(counts))

    return as_measured(over_resamples(len(space.images), seed, statistic), apart.n_groups)


def _structure_of_classes(space: Space, seed: int) -> dict[str, Measured]:

    order = np.random.default_rng([seed, 2]).permutation(space.pairing.n_groups)
    classes = np.sort(order[:MAX_CLASSES])
    texts = _arrangement(_group_means(space.texts, space.pairing.text_groups)[classes])

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        blocks = [
            _agreement(_arrangement(means), texts, weights)
            for means, weights in _resampled_class_means(space, classes, counts)
        ]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    # Threads make products as small as these many times slower on a busy machine.
    with one_blas_thread():
        return as_measured(over_resamples(len(space.images), seed, statistic), len(classes))


def _arrangement(means: Matrix) -> tuple[Matrix, Matrix]:
    return cosine_ranks(means), centred_gram(means)


def _agreement(
    images: tuple[Matrix, Matrix], texts: tuple[Matrix, Matrix], weights: Matrix
) -> dict[str, Matrix]:
    return {
        "similarity_correlation": similarity_correlation(images[0], texts[0], weights),
        "linear_cka": linear_cka(images[1], texts[1], weights),
    }


def _group_means(vectors: NDArray[np.float32], groups: NDArray[np.int64]) -> Matrix:
    sums = np.zeros((int(groups.max()) + 1, vectors.shape[1]))
    np.add.at(sums, groups, vectors.astype(np.float64))
    means: Matrix = sums / np.bincount(groups)[:, None]
    return means


def _resampled_class_means(
    space: Space, classes: NDArray[np.int64], counts: Matrix
) -> Iterator[tuple[Matrix, Matrix]]:
    """Yield for some resamples at a time the classes' means (b, G, D) and which occur (b, G)."""
    members = [np.flatnonzero(space.pairing.image_groups == c) for c in classes]
    sizes = np.stack([counts[:, rows].sum(axis=1) for rows in members], axis=1)
    step = max(1, _BLOCK_VALUES // (len(classes) * max(space.images.shape[1], len(classes))))
    for start in range(0, len(counts), step):
        block = slice(start, start + step)
        sums = np.stack([counts[block, rows] @ space.images[rows] for rows in members], axis=1)
        yield sums / np.maximum(sizes[block], 1)[:, :, None], (sizes[block] > 0).astype(float)


def measure_recalls(space: Space, *, seed: int) -> dict[str, Measured]:
    """Recall at 1, 5 and 10 both ways, each image with its own texts."""
    pairing = space.pairing
    image_ranks, text_ranks = match_ranks(space.images, space.texts, space.relation)
    own = pairing.image_groups
    parts: dict[str, tuple[Matrix, Matrix]] = {}
    for k in RECALL_AT:
        found = np.bincount(pairing.text_groups, weights=text_ranks <= k)[own].astype(np.float64)
        parts[f"image_to_text_recall_at_{k}"] = (
            (image_ranks <= k).astype(float),
            np.ones(len(own)),
        )
        parts[f"text_to_image_recall_at_{k}"] = (found, pairing.texts_in_group[own].astype(float))

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        return {name: (counts @ hits) / (counts @ all_) for name, (hits, all_) in parts.items()}

    sizes = {name: int(all_.sum()) for name, (_, all_) in parts.items()}
    measured = as_measured(over_resamples(len(own), seed, statistic), sizes)
    for k in RECALL_AT:
        name = f"image_to_text_recall_at_{k}"
        low, high = wilson_interval(int((image_ranks <= k).sum()), len(own))
        measured[name] = replace(measured[name], interval=(low, high, "Wilson"))
    return measured
