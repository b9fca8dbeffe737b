"""Which image goes with which text, and how resampling images reweighs both.

It knows nothing about vectors. In data with class labels many images share one text: the text
of their class. In captioned data every image has texts of its own. Both are one relation: an
image and a text match when they are of the same *group*, a class in the one case and an image
in the other. Wherever a distribution of texts is needed, every image brings its own text (an
even share of each, where it has several), as in the paired data of arXiv:2203.02053; a class
with twice the images therefore counts twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import N_RESAMPLES

__all__ = ["Pairing", "pair_by_group", "resampled_counts", "sum_by_group"]

_BLOCK_VALUES = 8_000_000


@dataclass(frozen=True)
class Pairing:
    """Images and texts by group.

    Attributes:
        image_groups: int64 (N,), values 0..G-1; every group has an image.
        text_groups: int64 (M,), values 0..G-1; every group has a text.
    """

    image_groups: NDArray[np.int64]
    text_groups: NDArray[np.int64]

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.image_groups.max()) + 1

    @property
    def has_own_texts(self) -> bool:
        """Whether no two images share a text, as with captions."""
        return self.n_groups == len(self.image_groups)

    @cached_property
    def texts_in_group(self) -> NDArray[np.int64]:
        """How many texts each group has, (G,)."""
        return np.bincount(self.text_groups, minlength=self.n_groups)

    def group_sums(self, per_image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up values per image within each group: (B, N) to (B, G)."""
        if self.has_own_texts:
            summed = np.empty_like(per_image)
            summed[:, self.image_groups] = per_image
            return summed
        return sum_by_group(per_image, self.image_groups, self.n_groups)

    def text_weights(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share each image's count out evenly over its texts: (B, N) to (B, M)."""
        per_text: NDArray[np.float64] = self.group_sums(counts) / self.texts_in_group
        return per_text[:, self.text_groups]

    def subset(
        self, limit: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw images at random, with their texts, until there are ``limit`` points.

        Returns:
            Rows of the images and rows of their texts, both ascending.
        """
        order = rng.permutation(len(self.image_groups))
        _, first_seen = np.unique(self.image_groups[order], return_index=True)
        new_texts = np.zeros(len(order), dtype=np.int64)
        new_texts[first_seen] = self.texts_in_group[self.image_groups[order[first_seen]]]
        n_points = np.cumsum(1 + new_texts)
        images = np.sort(order[: np.searchsorted(n_points, limit, side="right")])
        texts = np.flatnonzero(np.isin(self.text_groups, self.image_groups[images]))
        return images, texts

    def select(self, images: NDArray[np.int64], texts: NDArray[np.int64]) -> Pairing:
        """Keep these images and texts, which must cover the same groups."""
        groups = np.unique(self.image_groups[images])
        return Pairing(
            np.searchsorted(groups, self.image_groups[images]),
            np.searchsorted(groups, self.text_groups[texts]),
        )

    def matched_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return every matched pair as rows of images and rows of texts, images ascending."""
        by_group = np.argsort(self.text_groups, kind="stable")
        starts = np.cumsum(self.texts_in_group) - self.texts_in_group
        per_image = self.texts_in_group[self.image_groups]
        images = np.repeat(np.arange(len(self.image_groups)), per_image)
        offsets = np.arange(len(images)) - np.repeat(np.cumsum(per_image) - per_image, per_image)
        return images, by_group[starts[self.image_groups[images]] + offsets]


def pair_by_group(
    image_groups: NDArray[np.int64], text_groups: NDArray[np.int64]
) -> tuple[Pairing, NDArray[np.int64], NDArray[np.int64]]:
    """Match images and texts; those without a partner (or of group -1) are left out.

    Args:
        image_groups: int64 (N,), the class of each image, or its own number; -1 for none.
        text_groups: int64 (M,), the class, or the number of the image, of each text.

    Returns:
        The pairing with groups numbered from 0, and the rows of the images and of the texts
        that it holds.
    """
    shared = np.intersect1d(image_groups[image_groups >= 0], text_groups)
    images = np.flatnonzero(np.isin(image_groups, shared))
    texts = np.flatnonzero(np.isin(text_groups, shared))
    pairing = Pairing(
        np.searchsorted(shared, image_groups[images]), np.searchsorted(shared, text_groups[texts])
    )
    return pairing, images, texts


def resampled_counts(n: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of n images occurs in a bootstrap resample, in blocks (b, n).

    The first row of all is ones, the sample itself; then come the resamples. Statistics are
    computed from counts, so that a pair of copies of one image can be told from a true pair.
    """
    yield np.ones((1, n))
    rows = max(1, min(N_RESAMPLES, _BLOCK_VALUES // n))
    for start in range(0, N_RESAMPLES, rows):
        size = min(rows, N_RESAMPLES - start)
        drawn = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def sum_by_group(
    values: NDArray[np.float64], groups: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Add up columns (B, N) within each of G groups, none of them empty: (B, G)."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(n_groups))
    summed: NDArray[np.float64] = np.add.reduceat(values[:, order], starts, axis=1)
    return summed
