"""Heads as one matrix and one row: what fits into a linear layer of other libraries.

It finds out by writing the head in operators that know nothing but affine maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.label_classifier import LabelClassifier
from cliptune.errors import InputError

if TYPE_CHECKING:
    from cliptune.classifiers.label_classifier import AnyClassifier
    from cliptune.heads import Head

__all__ = ["Affine", "affine_form", "calibrated_form"]

_Array = NDArray[np.floating[Any]]  # Any: whatever width a head has


@dataclass(frozen=True, eq=False)
class Affine:
    """rows @ weight.T + bias.

    Attributes:
        weight: float32 (C, D).
        bias: float32 (C,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def calibrated_form(classifier: AnyClassifier) -> Affine:
    """Return a classifier as an affine map, its calibration included.

    What it gives are logits: of a softmax, or of a sigmoid where an image may have several labels.

    Raises:
        InputError: Its head is no affine map.
    """
    if isinstance(classifier, LabelClassifier):
        weight, bias = classifier.affine_logits()
        return Affine(weight.astype(np.float32), bias.astype(np.float32))
    head = affine_form(classifier.head)
    temperature = np.float32(classifier.temperature)
    return Affine(head.weight / temperature, head.bias / temperature)


def affine_form(head: Head) -> Affine:
    """Return a head as an affine map.

    Raises:
        InputError: It is none.
    """
    found: Affine | None = None
    try:
        found = head.express(_AffineOnly(), _ROWS)
    except AttributeError:  # it asked for an operator beyond affine maps
        found = None
    if not isinstance(found, Affine):
        raise InputError(
            f"head {head.name!r} is no linear layer, which is all that the hub's format holds; use "
            "--format onnx"
        )
    return found


_ROWS: Any = "rows"  # what a head is given


class _AffineOnly:
    """The operators that affine maps are made of; see ``Operators``."""

    def constant(self, array: _Array) -> _Array:
        return np.asarray(array, dtype=np.float32)

    def matmul(self, left: Any, right: _Array) -> Affine:  # Any: the rows, or something else
        if left is not _ROWS or right.ndim != 2:
            raise AttributeError("a product of something else than the rows")
        return Affine(right.T, np.zeros(right.shape[1], dtype=np.float32))

    def add(self, left: Any, right: Any) -> Affine:  # Any: a map and a row, or something else
        if not isinstance(left, Affine) or not isinstance(right, np.ndarray):
            raise AttributeError("a sum of something else than a map and a row")
        return Affine(left.weight, left.bias + right)

    def __getattr__(self, name: str) -> Any:  # Any: it never returns
        raise AttributeError(name)
