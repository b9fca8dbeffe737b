"""Lookups: neighbours, words, outliers, look-alikes and the plane of a project's images.

Each is computed when it is first asked for. It knows vectors, and nothing about labels.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cliptune.modality_gap.projection import Cloud, project
from cliptune.workflows.label_project import LabelProject

__all__ = ["Lookups", "PlaneOfImages"]

_NEIGHBOURS = 10
_COMPARED = 4000  # images that each is held against to say how far out it lies
_AT_ONCE = 2048
_FITTED = 20_000


@dataclass(frozen=True, eq=False)
class PlaneOfImages:
    """Where images and class texts lie in one plane.

    Attributes:
        images: float32 (N, 2).
        texts: float32 (C, 2).
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]


class Lookups:
    """What can be looked up of N images.

    Args:
        opened: The project.
    """

    def __init__(self, opened: LabelProject) -> None:
        self._project = opened
        self._lock = threading.Lock()
        self._planes: dict[tuple[str, ...], PlaneOfImages] = {}

    def by_text(self, text: str) -> NDArray[np.float32]:
        """Return how well each image fits a text, float32 (N,): cosines in the encoder's space."""
        row = self._project.encoder.encode_texts([text], truncate=True)[0]
        cosines: NDArray[np.float32] = self._project.vectors @ row
        return cosines

    def by_image(self, row: int) -> NDArray[np.float32]:
        """Return how much each image is like one, float32 (N,): cosines around the mean image."""
        likeness: NDArray[np.float32] = self._centred @ self._centred[row]
        return likeness

    def neighbours(self, row: int, n: int) -> list[int]:
        """Return the rows of the images that are most like one, the nearest first."""
        likeness = self.by_image(row)
        likeness[row] = -2
        return [int(i) for i in np.argsort(-likeness, kind="stable")[:n]]

    @cached_property
    def _centred(self) -> NDArray[np.float32]:
        vectors = self._project.vectors
        rows = vectors - vectors.mean(axis=0)
        unit: NDArray[np.float32] = rows / np.maximum(
            np.linalg.norm(rows, axis=1, keepdims=True), 1e-9
        )
        return unit

    @cached_property
    def outlying(self) -> NDArray[np.float32]:
        """How far out each image lies, float32 (N,): 1 minus its mean likeness to the nearest."""
        rows = self._centred
        n = len(rows)
        rng = np.random.default_rng(0)
        others = rows if n <= _COMPARED else rows[rng.choice(n, _COMPARED, replace=False)]
        k = min(_NEIGHBOURS + 1, len(others))  # an image may stand among the others itself
        out = np.empty(n, np.float32)
        for start in range(0, n, _AT_ONCE):
            cosines = rows[start : start + _AT_ONCE] @ others.T
            nearest = np.partition(cosines, len(others) - k, axis=1)[:, len(others) - k :]
            out[start : start + _AT_ONCE] = 1 - nearest.mean(axis=1)
        return out

    @cached_property
    def twins(self) -> NDArray[np.bool_]:
        """Which images look like another, bool (N,)."""
        twins: NDArray[np.bool_] = (np.bincount(self.groups) > 1)[self.groups]
        return twins

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The group of look-alikes that each image is of, int64 (N,)."""
        with self._lock:
            return self._project.groups

    def plane(self, names: tuple[str, ...], texts: NDArray[np.float32]) -> PlaneOfImages:
        """Return where images and class texts lie: the projection of ``cliptune map``.

        Args:
            names: C class names, by which it is remembered.
            texts: float32 (C, D), their texts.
        """
        with self._lock:
            if names not in self._planes:
                self._planes = {names: self._project_plane(texts)}
            return self._planes[names]

    def _project_plane(self, texts: NDArray[np.float32]) -> PlaneOfImages:
        vectors = self._project.vectors
        rng = np.random.default_rng(0)
        n = min(len(vectors), _FITTED)
        rows = np.sort(rng.choice(len(vectors), n, replace=False))
        if len(texts):
            pairs = (rows, (vectors[rows] @ texts.T).argmax(axis=1))
        else:
            texts = vectors.mean(axis=0, keepdims=True)
            pairs = (rows, np.zeros(n, np.int64))
        planes, _ = project([Cloud(vectors, texts, pairs)])
        return PlaneOfImages(planes[0].images, planes[0].texts)
