"""Retrieval across modalities: recall at 1, 5 and 10, from images to texts and back.

It knows nothing about encoders or files: it sees vectors and which text belongs to which image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError, InputError
from cliptune.evaluation.metrics import Score, percentile_interval, wilson_interval
from cliptune.modality_gap.pairing import resampled_counts
from cliptune.modality_gap.relation import Relation, number_distinct, relate_captions

__all__ = ["RECALL_AT", "RetrievalScores", "match_ranks", "nearest_rows", "score_retrieval"]

RECALL_AT = (1, 5, 10)
_BLOCK_VALUES = 20_000_000


@dataclass(frozen=True)
class RetrievalScores:
    """Recall in both directions, by k.

    Attributes:
        image_to_text: Share of images with a text of their own among the k nearest texts.
        text_to_image: Share of texts with their image among the k nearest images.
    """

    image_to_text: dict[int, Score]
    text_to_image: dict[int, Score]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        return {
            "image_to_text": _direction_dict(self.image_to_text),
            "text_to_image": _direction_dict(self.text_to_image),
        }


def score_retrieval(
    image_vectors: NDArray[np.float32],
    text_vectors: NDArray[np.float32],
    owners: NDArray[np.int64],
    *,
    image_items: NDArray[np.int64] | None = None,
    text_items: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> RetrievalScores:
    """Score retrieval among captioned images (Hodosh et al., doi:10.1613/jair.3994).

    Every image is ranked against all texts and every text against all images. Images without a
    text stay among the candidates but are no queries. A text that is equal to one of an image's
    own is its own, whoever brought it; equal texts, and equal pictures, are one candidate.

    The interval from images to texts is Wilson's, or where pictures repeat a bootstrap over
    pictures. The texts of one image are not independent, and equal texts still less: the other
    one resamples pictures, or the wordings where that gives the wider interval.

    Args:
        image_vectors: float32 (N, D), rows of norm 1.
        text_vectors: float32 (M, D), rows of norm 1.
        owners: int (M,), the row of the image that each text describes.
        image_items: int64 (N,), equal where two images show the same picture; without it all
            are different.
        text_items: int64 (M,), equal where two texts are the same, as ``number_texts`` of
            ``cliptune.images`` says; without it all are different.
        seed: Seed of the bootstrap.

    Raises:
        InputError: Shapes disagree or an owner is no row of the images.
        DataError: There are fewer than two images with a text.
    """
    _check_owners(image_vectors, text_vectors, owners)
    described = np.unique(owners)
    if len(described) < 2:
        raise DataError(
            f"{len(described)} images have captions; retrieval needs at least 2: give a captions "
            "data set"
        )
    relation = relate_captions(
        owners, len(image_vectors), image_items=image_items, text_items=text_items
    )
    image_ranks, text_ranks = match_ranks(image_vectors, text_vectors, relation)
    pictures, asked = relation.image_items, image_ranks[described]
    of_text = (pictures[owners], relation.text_items)
    return RetrievalScores(
        {k: _image_share(asked <= k, pictures[described], seed=seed) for k in RECALL_AT},
        {k: _text_share(text_ranks <= k, *of_text, seed=seed) for k in RECALL_AT},
    )


def match_ranks(
    image_vectors: NDArray[np.floating], text_vectors: NDArray[np.floating], relation: Relation
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rank, for each query, its nearest match among all candidates that differ.

    Another candidate that is exactly as near counts as nearer, so that an encoder which maps
    everything to one point has no recall. What is the same picture or the same wording is one
    candidate, so a text that a hundred images share takes one place.

    Args:
        image_vectors: (N, D).
        text_vectors: (M, D).
        relation: Which of them are equal, and which belong together.

    Returns:
        For each image (N,) the rank of its nearest own text, for each text (M,) the rank of
        its nearest own image, from 1; a query without a match has a rank past the last.
    """
    images = image_vectors[relation.first_images]
    texts = text_vectors[relation.first_texts]
    forward = _ranks(images, texts, relation.pairs)
    backward = _ranks(texts, images, relation.pairs.T.tocsr())
    return forward[relation.image_items], backward[relation.text_items]


def nearest_rows(
    queries: NDArray[np.floating], candidates: NDArray[np.floating]
) -> NDArray[np.int64]:
    """Return for each query (N,) the row of the candidate with the largest cosine."""
    rows = max(1, _BLOCK_VALUES // len(candidates))
    starts = range(0, len(queries), rows)
    return np.concatenate([(queries[s : s + rows] @ candidates.T).argmax(axis=1) for s in starts])


def _ranks(
    queries: NDArray[np.floating],
    candidates: NDArray[np.floating],
    pairs: Any,  # Any: SciPy's csr_array of bool (Q, C)
) -> NDArray[np.int64]:
    ranks = np.empty(len(queries), dtype=np.int64)
    rows = max(1, _BLOCK_VALUES // max(1, len(candidates)))
    for start in range(0, len(queries), rows):
        block = slice(start, start + rows)
        similarities = queries[block] @ candidates.T
        own = pairs[block].toarray()
        best = np.where(own, similarities, -np.inf).max(axis=1)
        ranks[block] = 1 + ((similarities >= best[:, None]) & ~own).sum(axis=1)
        ranks[block][~own.any(axis=1)] = len(candidates) + 1
    return ranks


def _check_owners(
    image_vectors: NDArray[np.float32],
    text_vectors: NDArray[np.float32],
    owners: NDArray[np.int64],
) -> None:
    if image_vectors.shape[1:] != text_vectors.shape[1:] or len(text_vectors) != len(owners):
        raise InputError(
            f"images of shape {image_vectors.shape}, texts of shape {text_vectors.shape} and "
            f"{len(owners)} owners do not go together; expected (N, D), (M, D) and M"
        )
    if len(owners) and not (owners.min() >= 0 and owners.max() < len(image_vectors)):
        raise InputError(
            f"owners run from {owners.min()} to {owners.max()}; expected rows of the images, 0 to "
            f"{len(image_vectors) - 1}"
        )


def _image_share(hits: NDArray[np.bool_], pictures: NDArray[np.int64], *, seed: int) -> Score:
    if len(np.unique(pictures)) < len(pictures):
        return _clustered_share(hits, pictures, "pictures", seed=seed)
    low, high = wilson_interval(int(hits.sum()), len(hits))
    return Score(float(hits.mean()), low, high, len(hits), "Wilson")


def _text_share(
    hits: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    wordings: NDArray[np.int64],
    *,
    seed: int,
) -> Score:
    by_picture = _clustered_share(hits, pictures, "images", seed=seed)
    if len(np.unique(wordings)) == len(wordings):
        return by_picture
    by_wording = _clustered_share(hits, wordings, "equal texts", seed=seed)
    return max(by_picture, by_wording, key=lambda score: score.high - score.low)


def _clustered_share(
    hits: NDArray[np.bool_], clusters: NDArray[np.int64], what: str, *, seed: int
) -> Score:
    """Resample clusters, such as images, with all their items, such as texts."""
    clusters = number_distinct(clusters)
    sizes = np.bincount(clusters).astype(np.float64)
    hits_in_cluster = np.bincount(clusters, weights=hits)
    shares = np.concatenate(
        [
            (counts @ hits_in_cluster) / (counts @ sizes)
            for counts in resampled_counts(len(sizes), np.random.default_rng(seed))
        ]
    )
    low, high = percentile_interval(shares[1:])
    return Score(float(shares[0]), low, high, len(hits), f"bootstrap over {what}, percentile")


def _direction_dict(scores: dict[int, Score]) -> dict[str, Any]:  # Any: plain JSON values
    return {
        **{f"recall_at_{k}": score.value for k, score in scores.items()},
        "n": next(iter(scores.values())).n,
        "intervals": {
            f"recall_at_{k}": {
                "low": score.low,
                "high": score.high,
                "level": 0.95,
                "method": score.method,
            }
            for k, score in scores.items()
        },
    }
