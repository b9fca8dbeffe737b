"""The numbers of the modality gap.

It knows nothing about pictures or about which encoder made the vectors. The meaning, formula
and source of every number stand in ``definitions``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cliptune.modality_gap.correspondence import measure_recalls, measure_structure
from cliptune.modality_gap.definitions import DEFINITIONS, Definition
from cliptune.modality_gap.distributions import (
    measure_dimensions,
    measure_discrepancy,
    measure_separability,
    measure_uniformity,
)
from cliptune.modality_gap.measured import (
    Matrix,
    Measured,
    Space,
    as_measured,
    has_interval,
    over_resamples,
    subset_space,
)

__all__ = ["Gap", "measure_gap"]


@dataclass(frozen=True)
class Gap:
    """All numbers of one encoder.

    Attributes:
        numbers: By name, in the order of the definitions.
        omitted: Why a number is missing, by name.
    """

    numbers: dict[str, Measured]
    omitted: dict[str, str]


def measure_gap(space: Space, *, seed: int = 0) -> Gap:
    """Measure everything the definitions list.

    Sums over pairs of points take at most 3,000 points (images with their texts, drawn with the
    seed), class means at most 300 classes; n says how many it was.

    Args:
        space: At least two groups.
        seed: Seed of subsets, folds and resamples.
    """
    small = subset_space(space, seed=seed)
    measured = {
        **_moments(space, seed=seed),
        **_cosines(space, seed=seed),
        **measure_separability(small, seed=seed),
        **measure_discrepancy(small, seed=seed),
        **measure_uniformity(small, seed=seed),
        **measure_dimensions(small, seed=seed),
        **measure_structure(space, seed=seed),
    }
    if space.pairing.has_own_texts:
        measured |= measure_recalls(space, seed=seed)
    expected = {
        name: definition
        for name, definition in DEFINITIONS.items()
        if space.pairing.has_own_texts or not definition.captions_only
    }
    numbers = {
        name: measured[name]
        for name, definition in expected.items()
        if space.pairing.n_groups >= definition.min_groups
        and name in measured
        and has_interval(measured[name])
    }
    omitted = {n: _reason(d, space) for n, d in expected.items() if n not in numbers}
    return Gap(numbers, omitted)


def _moments(space: Space, *, seed: int) -> dict[str, Measured]:
    """Centroid distance and its share of the spread: means and mean squared norms suffice."""
    x, y = space.images, space.texts
    x_norms, y_norms = (v.astype(np.float64) ** 2 for v in (x, y))
    x_norms, y_norms = x_norms.sum(axis=1), y_norms.sum(axis=1)

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        shares = counts / counts.sum(axis=1, keepdims=True)
        text_shares = space.pairing.text_weights(shares)
        # Products in the vectors' own precision: in double they would be copied for each block.
        mean_x = (shares.astype(x.dtype) @ x).astype(np.float64)
        mean_y = (text_shares.astype(y.dtype) @ y).astype(np.float64)
        squared = ((mean_x - mean_y) ** 2).sum(axis=1)
        within_x = shares @ x_norms - (mean_x**2).sum(axis=1)
        within_y = text_shares @ y_norms - (mean_y**2).sum(axis=1)
        # Two halves at a distance d have the variance d^2 / 4 between them.
        total = squared / 4 + (within_x + within_y) / 2
        return {"centroid_distance": np.sqrt(squared), "centroid_share": squared / 4 / total}

    return as_measured(over_resamples(len(x), seed, statistic), len(x))


def _cosines(space: Space, *, seed: int) -> dict[str, Measured]:
    per_image = _per_image_cosines(space)

    def statistic(counts: Matrix) -> dict[str, Matrix]:
        n = counts.sum(axis=1)
        return {name: counts @ values / n for name, values in per_image.items()}

    return as_measured(over_resamples(len(space.images), seed, statistic), len(space.images))


def _per_image_cosines(space: Space) -> dict[str, Matrix]:
    """Average over each image's own texts and over all others, without the (N, M) matrix."""
    pairing, x, y = space.pairing, space.images.astype(np.float64), space.texts.astype(np.float64)
    relation = space.relation
    by_wording = np.zeros((relation.pairs.shape[1], y.shape[1]))
    np.add.at(by_wording, relation.text_items, y)
    # As far as a picture is concerned, every text that is equal to one of its own is its own.
    related = (relation.pairs.astype(np.float64) @ by_wording)[relation.image_items]
    n_related = relation.pairs.astype(np.int64) @ np.bincount(relation.text_items)
    n_others = (len(y) - n_related[relation.image_items]).astype(np.float64)
    n_others[n_others == 0] = np.nan
    own_sums = np.zeros((pairing.n_groups, y.shape[1]))
    np.add.at(own_sums, pairing.text_groups, y)
    own_squares = np.bincount(pairing.text_groups, weights=(y**2).sum(axis=1))
    n_own = pairing.texts_in_group[pairing.image_groups]
    own_dot = np.einsum("nd,nd->n", x, own_sums[pairing.image_groups])
    matched = own_dot / n_own
    return {
        "matched_cosine": matched,
        "unmatched_cosine": np.einsum("nd,nd->n", x, y.sum(axis=0) - related) / n_others,
        "alignment": (x**2).sum(axis=1) - 2 * matched + own_squares[pairing.image_groups] / n_own,
    }


def _reason(definition: Definition, space: Space) -> str:
    n_groups = space.pairing.n_groups
    if n_groups < definition.min_groups:
        return (
            f"needs at least {definition.min_groups} groups with images and texts, not {n_groups}"
        )
    return "the sample is too small for an estimate; use more images"
