"""What a head is made of, said in operators instead of arrays: how it leaves this package.

A head writes its logits once more with these, and whoever implements them, as ``export`` does for
ONNX, gets the same function. It knows neither heads nor formats.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Operators", "affine"]

V = TypeVar("V")


class Operators(Protocol[V]):
    """Operators over values of some kind; shapes broadcast as NumPy's do."""

    def constant(self, array: NDArray[Any]) -> V:  # Any: floats or integers
        """Return an array as a value; floats become float32."""
        ...

    def matmul(self, left: V, right: V) -> V:
        """Return the product of matrices in the last two axes."""
        ...

    def add(self, left: V, right: V) -> V:
        """Return the sum."""
        ...

    def multiply(self, left: V, right: V) -> V:
        """Return the product, number by number."""
        ...

    def divide(self, left: V, right: V) -> V:
        """Return the quotient, number by number."""
        ...

    def exp(self, value: V) -> V:
        """Return e to the power of each number."""
        ...

    def log(self, value: V) -> V:
        """Return natural logarithms."""
        ...

    def softmax(self, value: V, axis: int) -> V:
        """Return exponentials along an axis, divided by their sum."""
        ...

    def lengths(self, value: V) -> V:
        """Return Euclidean norms along the last axis, which stays, with length 1."""
        ...

    def total(self, value: V) -> V:
        """Return sums along the last axis, which stays, with length 1."""
        ...

    def part(self, value: V, axis: int, start: int, stop: int | None = None) -> V:
        """Return ``start`` to ``stop`` along an axis."""
        ...

    def reshape(self, value: V, shape: tuple[int, ...]) -> V:
        """Return the same numbers in another shape; one length may be -1."""
        ...

    def transpose(self, value: V, order: tuple[int, ...]) -> V:
        """Return the axes in another order."""
        ...

    def largest(self, value: V, count: int) -> tuple[V, V]:
        """Return the largest along the last axis, largest first, and where they are."""
        ...

    def take(self, table: V, places: V) -> V:
        """Return the elements of a one-dimensional table at integer places."""
        ...

    def equal(self, left: V, right: V) -> V:
        """Return 1.0 where two integers are equal and 0.0 elsewhere."""
        ...


def affine(
    ops: Operators[V],
    rows: V,
    weight: NDArray[np.floating[Any]],
    bias: NDArray[np.floating[Any]] | None = None,
) -> V:
    """Return rows @ weight.T + bias, (N, C) for rows (N, D) and weight (C, D)."""
    products = ops.matmul(rows, ops.constant(weight.T))
    return products if bias is None else ops.add(products, ops.constant(bias))
