"""A number on the sample and on its resamples, and the space of vectors it is measured in.

It knows nothing about which numbers there are. Resamples draw images, each bringing its own
text, and depend on the seed and the pairing only, so that two encoders measured on the same
images are resampled alike and their change has a paired interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import N_RESAMPLES, Score, percentile_interval
from cliptune.modality_gap.pairing import Pairing, pair_by_group, resampled_counts, sum_by_group
from cliptune.modality_gap.relation import Relation

__all__ = [
    "Interval",
    "Matrix",
    "Measured",
    "Space",
    "as_measured",
    "has_interval",
    "over_resamples",
    "subset_space",
    "to_score",
]

MAX_PAIRWISE_POINTS = 3000
_METHOD = "bootstrap over images, percentile about the value"

Matrix = NDArray[np.float64]
Interval = tuple[float, float, str]


@dataclass(frozen=True)
class Space:
    """Images and texts of one encoder, every one with a match.

    Attributes:
        images: float32 (N, D).
        texts: float32 (M, D).
        pairing: Which goes with which.
        relation: The same where images or texts repeat: which are equal, and which belong
            together because of it.
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    pairing: Pairing
    relation: Relation

    @property
    def distinct_images(self) -> NDArray[np.float32]:
        """One row for each picture, (U, D)."""
        return self.images[self.relation.first_images]

    @property
    def distinct_texts(self) -> NDArray[np.float32]:
        """One row for each wording, (V, D)."""
        return self.texts[self.relation.first_texts]

    def weigh_images(self, counts: Matrix) -> Matrix:
        """Add up counts of images by picture: (B, N) to (B, U)."""
        return _merge(counts, self.relation.image_items)

    def weigh_texts(self, counts: Matrix) -> Matrix:
        """Share counts of images over their texts and add up by wording: (B, N) to (B, V)."""
        return _merge(self.pairing.text_weights(counts), self.relation.text_items)

    def set_apart(self) -> Pairing:
        """Return groups that share no picture and no wording with one another.

        Captions that repeat tie their images together; classes stay as they are.
        """
        if not self.pairing.has_own_texts:
            return self.pairing
        return pair_by_group(*self.relation.components())[0]


def _merge(weights: Matrix, items: NDArray[np.int64]) -> Matrix:
    n_items = int(items.max()) + 1
    return weights if n_items == len(items) else sum_by_group(weights, items, n_items)


@dataclass(frozen=True)
class Measured:
    """One number on the sample and on every resample.

    Attributes:
        value: The number.
        draws: float64 (B,), the number on each resample; not a number where it has none.
        n: How many items it rests on.
        interval: Low end, high end and method, where something better than the resamples'
            percentiles is known.
    """

    value: float
    draws: Matrix
    n: int
    interval: Interval | None = None


def to_score(measured: Measured) -> Score:
    """Give a number its 95 % interval.

    Percentiles of the resamples' deviations from their own mean, about the value: resampling
    adds noise to the means, which lengthens a distance and weakens a correlation, and that bias
    is no part of the uncertainty.
    """
    if measured.interval is not None:
        low, high, method = measured.interval
        return Score(measured.value, low, high, measured.n, method)
    draws = measured.draws[np.isfinite(measured.draws)]
    if not has_interval(measured):
        raise ValueError("too few resamples have the number; ask has_interval first")
    low, high = percentile_interval(draws - draws.mean())
    return Score(measured.value, measured.value + low, measured.value + high, measured.n, _METHOD)


def has_interval(measured: Measured) -> bool:
    """Whether the number exists on the sample and on most of the resamples."""
    enough = np.isfinite(measured.draws).sum() > N_RESAMPLES // 2
    return bool(np.isfinite(measured.value) and enough)


def subset_space(space: Space, *, seed: int) -> Space:
    """Keep at most 3,000 points: images drawn with the seed, and their texts.

    What sums over pairs of points needs memory and time for the square of their number.
    """
    images, texts = space.pairing.subset(MAX_PAIRWISE_POINTS, np.random.default_rng([seed, 0]))
    if len(images) == len(space.images):
        return space
    return Space(
        images=space.images[images],
        texts=space.texts[texts],
        pairing=space.pairing.select(images, texts),
        relation=space.relation.select(images, texts),
    )


def over_resamples(
    n_images: int, seed: int, statistic: Callable[[Matrix], Mapping[str, Matrix]]
) -> dict[str, Matrix]:
    """Evaluate statistics of counts (b, N) block by block: by name, (1 + B,)."""
    blocks = [
        statistic(counts) for counts in resampled_counts(n_images, np.random.default_rng([seed, 1]))
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def as_measured(columns: Mapping[str, Matrix], n: int | Mapping[str, int]) -> dict[str, Measured]:
    """Split columns (1 + B,) into the sample's number and the resamples'; n can vary by name."""
    return {
        name: Measured(float(column[0]), column[1:], n if isinstance(n, int) else n[name])
        for name, column in columns.items()
    }
