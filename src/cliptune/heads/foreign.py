"""Rows and labels as other libraries give them: lists, tables, names of classes.

It knows no head; what it cannot read it leaves to the checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.arrays import FloatArray, Labels

__all__ = ["as_rows", "encode_labels"]


def as_rows(X: Any) -> FloatArray:  # Any: whatever a caller has
    """Return rows as a float array; one that is so already stays as it is, a memory map too.

    Raises:
        InputError: They are sparse, complex, or no numbers.
    """
    if isinstance(X, np.ndarray) and np.issubdtype(X.dtype, np.floating):
        return X
    if hasattr(X, "toarray"):
        raise InputError("sparse features came; expected a dense array: X.toarray()")
    array = np.asarray(X)
    if np.iscomplexobj(array):
        raise InputError("Complex data not supported: expected real features")
    if array.dtype.kind in "iubO" and array.ndim > 1:
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"features are no numbers ({error}); expected floats") from error
    return array


def encode_labels(
    y: Any, *, are_numbers: bool
) -> tuple[Labels, NDArray[Any] | None]:  # Any: whatever a caller has
    """Return labels as numbers 0..C-1, and the C labels where these are others.

    Args:
        y: Labels (N,).
        are_numbers: They number classes that are known otherwise; they are then left as they are.

    Raises:
        InputError: None came, or measurements.
    """
    if y is None:
        raise InputError("no labels came: y should be a 1d array, one label for each row")
    labels = np.asarray(y)
    if are_numbers or labels.ndim != 1 or labels.dtype.kind not in "iubfOUS" or not labels.size:
        return labels, None
    if labels.dtype.kind == "f":
        _require_classes(labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes))):
        return labels, None
    return numbers.astype(np.int64), classes


def _require_classes(labels: NDArray[Any]) -> None:  # Any: any width of float
    """Make sure that floats are names of classes and no measurements."""
    if not np.isfinite(labels).all():
        raise InputError("labels hold NaN or infinity; leave out rows without a label")
    if (labels != np.floor(labels)).any():
        raise InputError(
            "Unknown label type: continuous labels came; expected one of few classes for each row"
        )
