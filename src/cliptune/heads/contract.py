"""The checks of what every head is given.

It knows nothing about any one head, and nothing about models or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError, InputError, UnknownNameError
from cliptune.heads.arrays import FloatArray, Labels, row_chunks
from cliptune.heads.registry import Needs

__all__ = [
    "DEFAULT_LOGIT_SCALE",
    "FeatureChoice",
    "FitData",
    "Needs",
    "Validation",
    "check_fit",
    "check_rows",
    "check_scale",
    "learned_columns",
    "needs_of_features",
    "require_every_class",
    "require_fitted",
    "require_text_rows",
]

Validation = tuple[FloatArray, Labels]
FeatureChoice = Literal["embedding", "penultimate", "both", "trunk"]

_SHAPES = {
    "pooled": "(N, D)",
    "tokens": "(N, 1 + T, D), pooled feature first",
    "trunk": "(N, D + E), unit embedding first",
}

# Where a head has neither texts nor a model's own scale: the value CLIP's training starts from,
# a temperature of 0.07 (arXiv:2103.00020, section 2.5).
DEFAULT_LOGIT_SCALE = 1 / 0.07


@dataclass(frozen=True)
class FitData:
    """Checked arguments of a ``fit``.

    Attributes:
        X: Training rows (N, D), or tokens (N, 1 + T, D) with the pooled feature first, or
            (N, D + E) with E trunk features behind the embedding.
        y: int64 (N,), values 0..C-1.
        n_classes: C.
        text_rows: float32 (C, D), or None; where the rows have trunk features, (C, D + E), zero
            in the last E columns: cosines with texts are those of the embedding alone.
        logit_scale: Factor on cosines, already exponentiated.
        validation: Rows and labels of the same kind, or None.
        text_dim: D, as long as the texts came; 0 where none came.
        soft: float32 (N, C), what each row counts for each class, rows of sum 1; None where
            each is of the class that ``y`` says.
    """

    X: FloatArray
    y: NDArray[np.int64]
    n_classes: int
    text_rows: NDArray[np.float32] | None
    logit_scale: float
    validation: tuple[FloatArray, NDArray[np.int64]] | None
    text_dim: int = 0
    soft: NDArray[np.float32] | None = None

    @property
    def dim(self) -> int:
        """Length of a row."""
        return int(self.X.shape[-1])

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """Training rows of each class, int64 (C,)."""
        return np.bincount(self.y, minlength=self.n_classes)

    @property
    def class_sizes(self) -> NDArray[np.float64]:
        """What all rows count for each class, float64 (C,): without soft labels their number."""
        if self.soft is None:
            return self.class_counts.astype(np.float64)
        sizes: NDArray[np.float64] = self.soft.sum(axis=0, dtype=np.float64)
        return sizes


def check_fit(
    X: FloatArray,
    y: Labels,
    *,
    text_rows: FloatArray | None,
    logit_scale: float | None,
    n_classes: int | None,
    validation: Validation | None,
    soft_labels: FloatArray | None = None,
    needs: Needs = "pooled",
) -> FitData:
    """Check everything a ``fit`` was given.

    The arguments are those of ``Head.fit``; text rows are shorter than the rows where these
    have trunk features.

    Raises:
        InputError: A shape, dimension, class count or scale does not fit the others.
        DataError: A value is not finite, a label lies outside 0..C-1, or all labels are equal.
    """
    rows = check_rows(X, needs=needs)
    texts = None if text_rows is None else _check_texts(text_rows, dim=rows.shape[-1], needs=needs)
    if texts is not None and logit_scale is None:
        raise InputError("text rows came without logit_scale; pass the factor of their encoder")
    n = _count_classes(y, texts, n_classes)
    labels = _check_labels(y, n_rows=len(rows), n_classes=n)
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"all {len(labels)} labels are {labels[0]}, which is one class; expected two or more"
        )
    return FitData(
        X=rows,
        y=labels,
        n_classes=n,
        text_rows=None if texts is None else np.asarray(texts, dtype=np.float32),
        logit_scale=check_scale(logit_scale),
        validation=_check_validation(validation, dim=rows.shape[-1], n_classes=n, needs=needs),
        text_dim=0 if text_rows is None else int(text_rows.shape[-1]),
        soft=None if soft_labels is None else _check_soft(soft_labels, (len(rows), n)),
    )


def _check_soft(soft_labels: FloatArray, expected: tuple[int, int]) -> NDArray[np.float32]:
    soft = np.asarray(soft_labels, dtype=np.float32)
    if soft.shape != expected:
        raise InputError(f"soft labels came as {soft.shape}; expected {expected}, rows by classes")
    if not np.isfinite(soft).all() or (soft < 0).any() or abs(soft.sum(axis=1) - 1).max() > 1e-3:
        raise DataError("soft labels are no shares: expected numbers from 0 on, 1 in sum of a row")
    return soft


def _check_texts(text_rows: FloatArray, *, dim: int, needs: Needs) -> FloatArray:
    if needs != "trunk":
        return check_rows(text_rows, dim=dim, what="texts")
    texts = check_rows(text_rows, what="texts")
    n_behind = dim - texts.shape[1]
    if n_behind < 1:
        raise InputError(
            f"features have {dim} dimensions and texts {texts.shape[1]}; expected features of the "
            "trunk behind the embedding, as encode_trunk gives them"
        )
    return np.pad(texts, ((0, 0), (0, n_behind)))


def check_rows(
    X: FloatArray, *, dim: int | None = None, needs: Needs = "pooled", what: str = "features"
) -> FloatArray:
    """Check an array of rows and return it unchanged; a memory-mapped one is read in chunks.

    Args:
        X: (N, D) where ``needs`` is ``pooled``, (N, 1 + T, D) where it is ``tokens``, (N, D + E)
            where it is ``trunk``.
        dim: The length of a row that is expected.
        needs: Which of these shapes is expected.
        what: What the rows are called in messages.

    Raises:
        InputError: Not a float array of that shape.
        DataError: A value is not finite; the message names the rows.
    """
    expected = _SHAPES[needs]
    n_axes = 3 if needs == "tokens" else 2
    if not isinstance(X, np.ndarray) or X.ndim != n_axes or not np.issubdtype(X.dtype, np.floating):
        came = f"{X.dtype} {X.shape}" if isinstance(X, np.ndarray) else type(X).__name__
        hint = ". Reshape your data: X.reshape(1, -1) is one row" if came.endswith(",)") else ""
        raise InputError(f"{what} came as {came}; expected a float array {expected}{hint}")
    if X.size == 0 or (needs == "tokens" and X.shape[1] < 2):
        raise InputError(f"{what} of shape {X.shape} hold nothing; expected {expected}")
    if dim is not None and X.shape[-1] != dim:
        raise InputError(
            f"{what} have {X.shape[-1]} dimensions, expected {dim}; use those of the same encoder"
        )
    _check_finite(X, what)
    return X


def _check_finite(X: FloatArray, what: str) -> None:
    bad: list[int] = []
    for part in row_chunks(len(X), bytes_per_row=X[0].nbytes):
        finite = np.isfinite(X[part]).reshape(part.stop - part.start, -1).all(axis=1)
        bad.extend((np.flatnonzero(~finite) + part.start).tolist())
    if bad:
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise DataError(
            f"{what} hold values that are not finite (NaN or inf) in {len(bad)} row(s): {shown}; "
            "embed those images again or leave them out"
        )


def _count_classes(y: Labels, texts: FloatArray | None, n_classes: int | None) -> int:
    if texts is not None and n_classes is not None and len(texts) != n_classes:
        raise InputError(f"{len(texts)} text rows came for {n_classes} classes; expected one each")
    if texts is not None:
        return len(texts)
    if n_classes is not None:
        return n_classes
    return int(np.max(y)) + 1 if np.size(y) else 0


def _check_labels(y: Labels, *, n_rows: int, n_classes: int) -> NDArray[np.int64]:
    labels = np.asarray(y)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels came as {labels.dtype} {labels.shape}; expected integers (N,)")
    if len(labels) != n_rows:
        raise InputError(f"{len(labels)} labels came for {n_rows} rows; expected one each")
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise DataError(
            f"label {labels[wrong[0]]} of row {wrong[0]} is outside 0..{n_classes - 1}; "
            "leave out unlabelled rows and name every class"
        )
    return labels.astype(np.int64)


def check_scale(logit_scale: float | None) -> float:
    """Return a usable factor on cosines, the default where none came."""
    scale = DEFAULT_LOGIT_SCALE if logit_scale is None else float(logit_scale)
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"logit_scale is {logit_scale}; expected a finite number above 0")
    return scale


def _check_validation(
    validation: Validation | None, *, dim: int, n_classes: int, needs: Needs
) -> tuple[FloatArray, NDArray[np.int64]] | None:
    if validation is None:
        return None
    X, y = validation
    rows = check_rows(X, dim=dim, needs=needs, what="validation features")
    return rows, _check_labels(y, n_rows=len(rows), n_classes=n_classes)


def needs_of_features(features: str) -> Needs:
    """Return the rows that a head takes whose argument ``features`` is this.

    ``embedding`` are unit rows (N, D). The others take (N, D + E): ``penultimate`` learns from
    the E features before the projection alone, and finds the texts' cosines in the D before them;
    ``both``, once called ``trunk``, learns from all.

    Raises:
        UnknownNameError: There are no such features.
    """
    choices = get_args(FeatureChoice)
    if features not in choices:
        raise UnknownNameError("features", features, choices)
    return "pooled" if features == "embedding" else "trunk"


def learned_columns(data: FitData, features: str, head: str) -> slice:
    """Return the columns of the rows that a head learns from; see ``needs_of_features``.

    Raises:
        InputError: They are the penultimate ones, and no text shows where these begin.
    """
    if features != "penultimate":
        return slice(None)
    require_text_rows(data, head)
    return slice(data.text_dim, None)


def require_text_rows(data: FitData, head: str) -> NDArray[np.float32]:
    """Return the text rows, or raise an InputError that says the head needs them."""
    if data.text_rows is None:
        raise InputError(f"head {head!r} starts from text rows; pass text_rows and logit_scale")
    return data.text_rows


def require_every_class(data: FitData, head: str) -> None:
    """Raise a DataError where a class has no training row."""
    empty = np.flatnonzero(data.class_counts == 0)
    if len(empty):
        raise DataError(
            f"head {head!r} needs training rows of every class, class {empty[0]} has none "
            f"({len(empty)} such); add images or leave the class out"
        )


def require_fitted(head: object) -> None:
    """Raise an InputError that scikit-learn knows as well where ``fit`` has not run."""
    if not hasattr(head, "classes_"):
        from cliptune.heads.unfitted import UnfittedHeadError

        raise UnfittedHeadError(
            f"this {type(head).__name__} is not fitted; call fit before predicting"
        )
