"""Which images and texts belong together, where texts or images may repeat.

An image owns every text that is equal to one of its own, and a picture that comes twice is one
picture. It knows nothing about vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.pairing import Pairing, pair_by_group

__all__ = ["Relation", "number_distinct", "relate_captions", "relate_groups"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Relation:
    """Images and texts by what they are, and which go together.

    Attributes:
        image_items: int64 (N,), the picture that each image shows, numbered from 0 to U - 1.
        text_items: int64 (M,), the wording of each text, numbered from 0 to V - 1.
        pairs: Sparse bool (U, V), which picture and which wording belong together.
    """

    image_items: Rows
    text_items: Rows
    pairs: Any  # Any: SciPy's csr_array, imported only where something is related

    @property
    def first_images(self) -> Rows:
        """The row of the first image of each picture, (U,)."""
        return np.unique(self.image_items, return_index=True)[1]

    @property
    def first_texts(self) -> Rows:
        """The row of the first text of each wording, (V,)."""
        return np.unique(self.text_items, return_index=True)[1]

    def owns(self, images: Rows, texts: Rows) -> NDArray[np.bool_]:
        """Tell for each row of an image and row of a text (n,) whether they belong together."""
        found = self.pairs[self.image_items[images], self.text_items[texts]]
        return np.asarray(found).ravel().astype(bool)

    def select(self, images: Rows, texts: Rows) -> Relation:
        """Keep these images and texts, and what is related among them."""
        kept_images, image_items = np.unique(self.image_items[images], return_inverse=True)
        kept_texts, text_items = np.unique(self.text_items[texts], return_inverse=True)
        return Relation(image_items, text_items, self.pairs[kept_images][:, kept_texts])

    def components(self) -> tuple[Rows, Rows]:
        """Number what hangs together by any chain of pairs: of each image (N,) and text (M,)."""
        from scipy.sparse import block_array
        from scipy.sparse.csgraph import connected_components

        graph = block_array([[None, self.pairs], [self.pairs.T, None]])
        numbers = np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
        n_pictures = self.pairs.shape[0]
        return numbers[self.image_items], numbers[n_pictures + self.text_items]


def relate_captions(
    owners: Rows, n_images: int, *, image_items: Rows | None = None, text_items: Rows | None = None
) -> Relation:
    """Relate images to their captions, and to every caption that is equal to one of them.

    Args:
        owners: int64 (M,), the row of the image that each caption describes.
        n_images: N.
        image_items: int64 (N,), equal where two images show the same picture; without it all
            are different.
        text_items: int64 (M,), equal where two captions are the same; without it all differ.
    """
    of_image = number_distinct(np.arange(n_images) if image_items is None else image_items)
    of_text = number_distinct(np.arange(len(owners)) if text_items is None else text_items)
    return _relate(of_image, of_text, (of_image[owners], of_text))


def relate_groups(
    image_groups: Rows, text_groups: Rows, *, image_items: Rows | None = None
) -> Relation:
    """Relate images to the texts of their group; texts are all different.

    Args:
        image_groups: int64 (N,), the class of each image; -1 for none.
        text_groups: int64 (M,), the class of each text.
        image_items: int64 (N,), equal where two images show the same picture.
    """
    pairing, images, texts = pair_by_group(image_groups, text_groups)
    first, second = _matched(pairing, len(images))
    of_image = number_distinct(np.arange(len(image_groups)) if image_items is None else image_items)
    return _relate(of_image, np.arange(len(text_groups)), (of_image[images[first]], texts[second]))


def number_distinct(values: NDArray[Any]) -> Rows:  # Any: values of any kind that can be sorted
    """Number values from 0, equal ones alike: (N,)."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _matched(pairing: Pairing, n_images: int) -> tuple[Rows, Rows]:
    if not n_images:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return pairing.matched_pairs()


def _relate(image_items: Rows, text_items: Rows, related: tuple[Rows, Rows]) -> Relation:
    from scipy.sparse import csr_array

    shape = (int(image_items.max(initial=-1)) + 1, int(text_items.max(initial=-1)) + 1)
    found = np.ones(len(related[0]), dtype=bool)
    return Relation(image_items, text_items, csr_array((found, related), shape=shape))
