"""The blend: the logits of a discriminant and of a logistic regression, averaged.

It knows nothing about how the two learn; both are linear, and so is what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.arrays import FloatArray, project
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import FeatureChoice, FitData, Needs, needs_of_features
from cliptune.heads.discriminant import DiscriminantHead
from cliptune.heads.expression import Operators, affine
from cliptune.heads.linear import LinearHead

__all__ = ["BlendHead"]

V = TypeVar("V")


@dataclass(eq=False)
class BlendHead(BaseHead):
    """A weighted sum of the logits of a discriminant and of a linear head on the same features.

    The two err in different ways: the discriminant knows class means and one covariance, which
    few images give well; logistic regression learns the border alone, which many images give
    better. Averaging models whose errors differ lowers the variance (Perrone & Cooper, "When
    networks disagree", 1993); here logits are averaged, each divided by its own temperature, which
    are the weights. The sum of two linear classifiers is one: as quick and as small as either.

    Args:
        features: ``embedding``, ``penultimate`` or ``both``, of both parts.
        discriminant: Arguments of ``DiscriminantHead`` other than ``features``.
        linear: Arguments of ``LinearHead`` other than ``features``.
        discriminant_weight: Of the discriminant's logits, above 0.
        linear_weight: Of the linear head's logits, above 0.

    Attributes:
        classes_: int64 (C,).
        weight_: float32 (C, D), or (C, D + E); logits are X @ weight_.T + bias_.
        bias_: float32 (C,).
        n_parameters_: The size of both.
        history_: Empty; that of the linear head is not the sum's.
    """

    name: ClassVar[str] = "blend"
    rank: ClassVar[int] = 40
    compared: ClassVar[bool] = True
    iterated: ClassVar[bool] = True
    learns_from: ClassVar[Needs] = "trunk"
    takes_soft_labels: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"weight": 2, "bias": 1}

    features: FeatureChoice = "embedding"
    discriminant: Mapping[str, Any] = field(default_factory=dict)  # Any: arguments of the head
    linear: Mapping[str, Any] = field(default_factory=dict)  # Any: likewise
    discriminant_weight: float = 0.5
    linear_weight: float = 0.5

    weight_: NDArray[np.float32] = field(init=False, repr=False)
    bias_: NDArray[np.float32] = field(init=False, repr=False)

    @property
    def needs(self) -> Needs:
        """``pooled`` rows (N, D), or ``trunk`` rows (N, D + E) for other features."""
        return needs_of_features(self.features)

    def _learn(self, data: FitData) -> object:
        """Fit both parts.

        Raises:
            InputError: A weight is not a finite number above 0, or a part refuses an argument.
        """
        _check_weights(self.discriminant_weight, self.linear_weight)
        parts = self.parts()
        texts = None if data.text_rows is None else data.text_rows[:, : data.text_dim]
        for part in parts:
            part.fit(
                data.X,
                data.y,
                text_rows=texts,
                logit_scale=data.logit_scale,
                n_classes=data.n_classes,
                validation=data.validation,
                soft_labels=data.soft,
            )
        return self.combine(*parts)

    def parts(self) -> tuple[DiscriminantHead, LinearHead]:
        """Return the two heads that are blended, not fitted.

        Raises:
            InputError: An argument of a part is unknown to it.
        """
        try:
            return (
                DiscriminantHead(features=self.features, **self.discriminant),
                LinearHead(features=self.features, **self.linear),
            )
        except TypeError as error:
            raise InputError(f"a part of the blend refuses an argument: {error}") from error

    def combine(self, discriminant: DiscriminantHead, linear: LinearHead) -> Self:
        """Become the weighted sum of two heads that were fitted with the arguments of ``parts``."""
        first, second = np.float32(self.discriminant_weight), np.float32(self.linear_weight)
        weight = first * discriminant.weight_ + second * linear.weight_
        return self._set(weight, first * discriminant.bias_ + second * linear.bias_)

    def _row_length(self) -> int:
        return int(self.weight_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        return project(rows, self.weight_) + self.bias_

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators."""
        return affine(ops, rows, self.weight_, self.bias_)

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        return {"weight": self.weight_, "bias": self.bias_}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        return self._set(arrays["weight"], arrays["bias"])

    def _set(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Self:
        self.classes_ = np.arange(len(weight))
        self.weight_, self.bias_ = weight, bias
        self.n_parameters_ = weight.size + bias.size
        self.history_ = ()
        return self


def _check_weights(*weights: float) -> None:
    if not all(np.isfinite(one) and one > 0 for one in weights):
        given = " and ".join(map(str, weights))
        raise InputError(f"the blend's weights are {given}; expected finite numbers above 0")
