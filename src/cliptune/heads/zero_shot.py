"""The zero-shot head: a linear classifier whose rows are embedded class texts.

It knows nothing about how texts become rows; every other head that starts from class texts
takes its first answer from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.arrays import FloatArray, Labels, project, sigmoid
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import Validation, check_rows, check_scale
from cliptune.heads.expression import Operators, affine

__all__ = ["ZeroShotHead", "zero_shot_logits"]

V = TypeVar("V")


def zero_shot_logits(
    X: FloatArray, text_rows: NDArray[np.float32], logit_scale: float
) -> NDArray[np.float32]:
    """Return logit_scale * X @ text_rows.T, float32 (N, C): arXiv:2103.00020, section 3.1.

    Args:
        X: Unit rows (N, D).
        text_rows: Unit rows (C, D).
        logit_scale: Factor on cosines, already exponentiated.
    """
    return np.float32(logit_scale) * project(X, text_rows)


@dataclass(eq=False)
class ZeroShotHead(BaseHead):
    """Class texts as they are: nothing is learned.

    Source: Radford et al., arXiv:2103.00020, section 3.1.

    Attributes:
        classes_: int64 (C,).
        text_rows_: float32 (C, D), unit rows.
        logit_scale_: The encoder's own factor.
        logit_bias_: What the encoder adds to logits, 0 for most: it moves each label's sigmoid,
            and neither the softmax nor the order.
        n_parameters_: 0.
        history_: Empty, there is no training.
    """

    name: ClassVar[str] = "zero-shot"
    rank: ClassVar[int] = 0
    compared: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"text_rows": 2, "logit_scale": 1}
    later_axes: ClassVar[Mapping[str, int]] = {"logit_bias": 1}

    text_rows_: NDArray[np.float32] = field(init=False, repr=False)
    logit_scale_: float = field(init=False, repr=False)
    logit_bias_: float = field(init=False, repr=False)

    def fit(
        self,
        X: FloatArray | None = None,
        y: Labels | None = None,
        *,
        text_rows: FloatArray | None = None,
        logit_scale: float | None = None,
        n_classes: int | None = None,
        validation: Validation | None = None,
        soft_labels: FloatArray | None = None,
        logit_bias: float = 0.0,
    ) -> Self:
        """Keep the texts; images and labels are accepted as by every head, and not used.

        Raises:
            InputError: No text rows came, or they do not fit the other arguments.
        """
        del y, validation, soft_labels  # part of the contract of every head
        if text_rows is None or logit_scale is None:
            raise InputError("head 'zero-shot' is made of texts; pass text_rows and logit_scale")
        if n_classes is not None and n_classes != len(text_rows):
            raise InputError(f"{len(text_rows)} text rows came for {n_classes} classes")
        dim = None if X is None else int(X.shape[-1])
        rows = check_rows(text_rows, dim=dim, what="text rows")
        texts = np.asarray(rows, dtype=np.float32)
        return self._set(texts, check_scale(logit_scale), float(logit_bias))

    def _row_length(self) -> int:
        return int(self.text_rows_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        logits = zero_shot_logits(rows, self.text_rows_, self.logit_scale_)
        return logits + np.float32(self.logit_bias_) if self.logit_bias_ else logits

    def predict_sigmoid(self, X: FloatArray) -> NDArray[np.float64]:
        """Return each label's probability on its own (N, C): rows need not sum to 1.

        As SigLIP was trained: arXiv:2303.15343, section 3.2.
        """
        return sigmoid(self.predict_logits(X))

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators."""
        return affine(ops, rows, np.float32(self.logit_scale_) * self.text_rows_)

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        scale = np.array([self.logit_scale_])
        found = {"text_rows": self.text_rows_, "logit_scale": scale}
        return {**found, "logit_bias": np.array([self.logit_bias_])} if self.logit_bias_ else found

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        bias = arrays["logit_bias"][0] if "logit_bias" in arrays else 0.0
        return self._set(arrays["text_rows"], float(arrays["logit_scale"][0]), float(bias))

    def _set(self, text_rows: NDArray[np.float32], logit_scale: float, logit_bias: float) -> Self:
        self.classes_ = np.arange(len(text_rows))
        self.text_rows_ = text_rows
        self.logit_scale_, self.logit_bias_ = logit_scale, logit_bias
        self.n_parameters_ = 0
        self.history_ = ()
        return self
