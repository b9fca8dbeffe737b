"""What happens when both modalities are moved along the gap.

It knows nothing about figures. The gap vector is the difference of the centroids; images are
moved against it and texts with it, and everything is brought back to unit length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import Score, wilson_interval
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.modality_gap.pairing import Pairing, pair_by_group
from cliptune.modality_gap.relation import Relation, relate_groups
from cliptune.modality_gap.retrieval import match_ranks

__all__ = ["SHIFTS", "ShiftCurve", "shift_along_gap"]

SHIFTS = tuple(round(-0.5 + 0.05 * step, 2) for step in range(31))
_UNMOVED, _CLOSED = SHIFTS.index(0.0), SHIFTS.index(0.5)
_MAX_POINTS = 10_000


@dataclass(frozen=True)
class ShiftCurve:
    """Scores as a function of the shift.

    Attributes:
        shifts: lambda (L,); 0 is the encoder as it is, 0.5 brings the centroids together.
        distances: Distance of the centroids after each shift (L,), negative where they have
            passed each other.
        scores: By name, one score for each shift: ``accuracy`` of the nearest class text, or
            with captions recall at 1 in both directions.
        closed: The images that find their text at lambda = 0.5 against those at 0.
    """

    shifts: tuple[float, ...]
    distances: tuple[float, ...]
    scores: dict[str, tuple[Score, ...]]
    closed: Comparison


def shift_along_gap(
    image_vectors: NDArray[np.float32],
    text_vectors: NDArray[np.float32],
    image_groups: NDArray[np.int64],
    text_groups: NDArray[np.int64],
    *,
    relation: Relation | None = None,
    seed: int = 0,
) -> ShiftCurve:
    """Move the embeddings along the gap vector and score each step.

    ``x' = Normalize(x - lambda d)``, ``y' = Normalize(y + lambda d)`` with ``d = mean x -
    mean y``, one text per image (arXiv:2203.02053, section 4.2). Captioned data of more than
    10,000 images and texts is sampled; texts of classes without images stay candidates.

    Args:
        image_vectors: float32 (N, D), rows of norm 1.
        text_vectors: float32 (M, D), rows of norm 1.
        image_groups: int (N,), the class or the number of each image; -1 for none.
        text_groups: int (M,), the class or the image of each text.
        relation: Which images and texts are equal and belong together; without it none repeat.
        seed: Seed of sample and bootstrap.
    """
    relation = relation or relate_groups(image_groups, text_groups)
    pairing, rows, partners = pair_by_group(image_groups, text_groups)
    candidates = np.arange(len(text_groups))
    if pairing.has_own_texts:
        images, texts = pairing.subset(_MAX_POINTS, np.random.default_rng([seed, 3]))
        pairing = pairing.select(images, texts)
        rows, partners = rows[images], partners[texts]
        candidates, partners = partners, np.arange(len(partners))
    x, y = image_vectors[rows], text_vectors[candidates]
    relation = relation.select(rows, candidates)
    weights = pairing.text_weights(np.full((1, len(x)), 1 / len(x)))[0]
    gap = x.mean(axis=0) - weights @ y[partners]
    distances, image_hits, text_hits = [], [], []
    for shift in SHIFTS:
        moved_x, moved_y = _unit(x - shift * gap), _unit(y + shift * gap)
        offset = moved_x.mean(axis=0) - weights @ moved_y[partners]
        distances.append(float(np.copysign(np.linalg.norm(offset), offset @ gap)))
        image_ranks, text_ranks = match_ranks(moved_x, moved_y, relation)
        image_hits.append(image_ranks == 1)
        text_hits.append(text_ranks == 1)
    closed = compare_correct(image_hits[_UNMOVED], image_hits[_CLOSED], seed=seed)
    return ShiftCurve(SHIFTS, tuple(distances), _scores(pairing, image_hits, text_hits), closed)


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def _scores(
    pairing: Pairing, image_hits: list[NDArray[np.bool_]], text_hits: list[NDArray[np.bool_]]
) -> dict[str, tuple[Score, ...]]:
    if not pairing.has_own_texts:
        return {"accuracy": tuple(_share(hits) for hits in image_hits)}
    return {
        "image_to_text_recall_at_1": tuple(_share(hits) for hits in image_hits),
        "text_to_image_recall_at_1": tuple(_share(hits) for hits in text_hits),
    }


def _share(hits: NDArray[np.bool_]) -> Score:
    low, high = wilson_interval(int(hits.sum()), len(hits))
    return Score(float(hits.mean()), low, high, len(hits), "Wilson")
