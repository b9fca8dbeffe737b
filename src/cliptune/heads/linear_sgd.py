"""The linear head trained with mini-batches: what a sweep over rates looks at.

It knows nothing about the convex solver; where the best fit is wanted and no rate is in
question, the head ``linear`` finds the minimum itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray, project
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import (
    FitData,
    require_every_class,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.optimizers import Parameters
from cliptune.heads.options import Member, TrainingPlan
from cliptune.heads.products import softmax_residual
from cliptune.heads.stack_run import Trained
from cliptune.heads.training import train_one

__all__ = ["LinearStack", "SgdLinearHead"]

V = TypeVar("V")


class LinearStack:
    """M linear heads over the same rows; logits are scale * (x . w_c + b_c).

    Args:
        rows: Where the weights start: float32 (C, D), the text rows, or zeros.
        scale: Factor on cosines.
    """

    def __init__(self, rows: NDArray[np.float32], scale: float) -> None:
        self._rows, self._scale = torch.tensor(rows), scale

    def start(self, seed: int) -> Parameters:
        """Return the rows and a bias of zero; nothing is random."""
        del seed
        return {"weight": self._rows[None].clone(), "bias": torch.zeros(1, len(self._rows))}

    def accumulate(
        self,
        parameters: Parameters,
        X: torch.Tensor,
        y: torch.Tensor,
        into: Parameters,
        *,
        beta: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add dW = R^T (scale X) / B and db = scale R^T 1 / B, with R = softmax - onehot."""
        n_heads, n_classes, dim = parameters["weight"].shape
        logits = self._shared_product(parameters, X)
        losses, correct = softmax_residual(logits.view(len(X), n_heads, n_classes), y[:, None])
        weight, factor = into["weight"].view(n_heads * n_classes, dim), self._scale / len(X)
        weight.addmm_(logits.T, X, beta=beta, alpha=factor)
        bias = into["bias"]
        bias.mul_(beta).add_(logits.sum(dim=0).view_as(bias), alpha=factor)
        return losses.sum(dim=0), correct.sum(dim=0)

    def logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return (M, n, C)."""
        n_heads, n_classes, _ = parameters["weight"].shape
        products = self._shared_product(parameters, X)
        return products.view(len(X), n_heads, n_classes).transpose(0, 1)

    def bytes_per_row(self) -> int:
        """Return the bytes of a row's logits and of their copies in a step."""
        return 4 * 3 * len(self._rows)

    def heads_at_once(self, n_rows: int) -> None:
        """Return that one product over all heads is best."""

    def _shared_product(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return the logits of all heads in one product, (n, M C)."""
        weight, bias = parameters["weight"].flatten(0, 1), parameters["bias"].flatten()
        return torch.addmm(bias, X, weight.T, beta=self._scale, alpha=self._scale)


@dataclass(eq=False)
class SgdLinearHead(BaseHead):
    """A linear layer over unit rows that starts at the class texts, trained with mini-batches.

    ZS-LP of Silva-Rodriguez et al., arXiv:2312.12730, section 4.1, with a bias and without
    normalising the class rows again. Without text rows it starts at zero.

    Attributes:
        classes_: int64 (C,).
        weight_: float32 (C, D); logits are X @ weight_.T + bias_.
        bias_: float32 (C,).
        best_epoch_: The epoch whose weights these are.
        n_parameters_: C (D + 1).
        history_: One record an epoch, epoch 0 first.
    """

    name: ClassVar[str] = "linear-sgd"
    rank: ClassVar[int] = 50
    trained: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"weight": 2, "bias": 1}

    lr: float = 0.01
    weight_decay: float = 0.0
    seed: int = 0
    plan: TrainingPlan = field(default_factory=TrainingPlan)

    weight_: NDArray[np.float32] = field(init=False, repr=False)
    bias_: NDArray[np.float32] = field(init=False, repr=False)
    best_epoch_: int = field(init=False, repr=False)

    def _learn(self, data: FitData) -> object:
        """Train."""
        member = Member(self.lr, self.weight_decay, self.seed)
        return self.adopt(train_one(self.make_stack(data), data, member, self.plan), data)

    def make_stack(self, data: FitData) -> LinearStack:
        """Return what the trainer trains."""
        rows = data.text_rows
        if rows is None:
            require_every_class(data, self.name)
            rows = np.zeros((data.n_classes, data.dim), dtype=np.float32)
        return LinearStack(rows, data.logit_scale)

    def adopt(self, trained: Trained, data: FitData) -> Self:
        """Take over one head of a stack."""
        scale = np.float32(data.logit_scale)
        self._set(scale * trained.parameters["weight"], scale * trained.parameters["bias"])
        self.best_epoch_, self.history_ = trained.best_epoch, trained.history
        return self

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
