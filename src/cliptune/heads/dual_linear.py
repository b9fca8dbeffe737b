"""The dual-linear head: one linear layer on the image rows, one on the text rows.

It knows nothing about the convex heads; both layers start at the identity, so that before
training it gives the zero-shot answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.arrays import FloatArray, row_chunks
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import (
    FitData,
    check_rows,
    require_fitted,
    require_text_rows,
)
from cliptune.heads.dual_linear_stack import DualLinearStack
from cliptune.heads.expression import Operators, affine
from cliptune.heads.options import Member, TrainingPlan
from cliptune.heads.stack_run import Trained
from cliptune.heads.training import train_one
from cliptune.heads.zero_shot import zero_shot_logits

__all__ = ["DualLinearHead"]

V = TypeVar("V")


_LAYER_AXES = {"image_weight": 2, "image_bias": 1, "text_weight": 2, "text_bias": 1}


@dataclass(eq=False)
class DualLinearHead(BaseHead):
    """A linear layer on each side of the cosine, against all class texts.

    logits = s cos(r (A x + a) + (1 - r) x, r (B t_c + b) + (1 - r) t_c), with s the model's own
    fixed scale. Training minimises the cross-entropy over all classes. The layers start at the
    identity with a bias of zero, so that epoch 0 is zero-shot; ``start="random"`` is a fresh
    linear layer, kept to show what that costs. The residual ratio r is that of CLIP-Adapter,
    arXiv:2110.04544, equation 3, which has it around a bottleneck; here it is around each layer.

    Attributes:
        classes_: int64 (C,).
        layers_: float32 A ``image_weight`` (D, D), a ``image_bias`` (D,), B ``text_weight`` and
            b ``text_bias``.
        text_rows_: float32 (C, D), the class texts as they came.
        logit_scale_: s.
        best_epoch_: The epoch whose layers these are.
        n_parameters_: 2 D (D + 1).
        history_: One record an epoch, epoch 0 first.
    """

    name: ClassVar[str] = "dual-linear"
    rank: ClassVar[int] = 60
    trained: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {**_LAYER_AXES, "text_rows": 2, "logit_scale": 1}

    lr: float = 0.01
    weight_decay: float = 0.0
    seed: int = 0
    residual_ratio: float = 1.0
    start: Literal["identity", "random"] = "identity"
    plan: TrainingPlan = field(default_factory=TrainingPlan)

    layers_: dict[str, NDArray[np.float32]] = field(init=False, repr=False)
    text_rows_: NDArray[np.float32] = field(init=False, repr=False)
    logit_scale_: float = field(init=False, repr=False)
    best_epoch_: int = field(init=False, repr=False)

    def _learn(self, data: FitData) -> object:
        """Train both layers."""
        member = Member(self.lr, self.weight_decay, self.seed)
        return self.adopt(train_one(self.make_stack(data), data, member, self.plan), data)

    def make_stack(self, data: FitData) -> DualLinearStack:
        """Return what the trainer trains."""
        if not 0 < self.residual_ratio <= 1:
            raise InputError(f"residual ratio is {self.residual_ratio}; expected above 0, up to 1")
        if self.start not in ("identity", "random"):
            raise InputError(f"start is {self.start!r}; expected 'identity' or 'random'")
        return DualLinearStack(
            require_text_rows(data, self.name),
            data.logit_scale,
            residual_ratio=self.residual_ratio,
            begin=self.start,
            linear_steps=self.plan.optimizer == "sgd",
        )

    def adopt(self, trained: Trained, data: FitData) -> Self:
        """Take over one head of a stack."""
        layers = self.make_stack(data).layers(trained.parameters)
        self._set(layers, require_text_rows(data, self.name), data.logit_scale)
        self.best_epoch_, self.history_ = trained.best_epoch, trained.history
        return self

    def transform(self, rows: FloatArray, side: Literal["image", "text"]) -> NDArray[np.float32]:
        """Return image or text rows (N, D) after their layer, each at its own length."""
        require_fitted(self)
        check_rows(rows, dim=self.text_rows_.shape[1])
        weight, bias = self.layers_[f"{side}_weight"], self.layers_[f"{side}_bias"]
        ratio = np.float32(self.residual_ratio)
        moved = np.empty(rows.shape, dtype=np.float32)
        for part in row_chunks(len(rows), bytes_per_row=8 * rows.shape[1]):
            before = np.asarray(rows[part], dtype=np.float32)
            after = before @ weight.T + bias
            after = ratio * after + (1 - ratio) * before
            lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in (before, after)]
            moved[part] = after * (lengths[0] / lengths[1])
        return moved

    def _row_length(self) -> int:
        return int(self.text_rows_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        images = self.transform(rows, "image")
        texts = self.transform(self.text_rows_, "text")
        return zero_shot_logits(images, texts, self.logit_scale_)

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators; the texts' layer and the scale become rows."""
        weight, bias = self.layers_["image_weight"], self.layers_["image_bias"]
        ratio = np.float32(self.residual_ratio)
        mixed = ratio * weight + (1 - ratio) * np.eye(len(weight), dtype=np.float32)
        moved = affine(ops, rows, mixed, ratio * bias)
        kept = ops.multiply(moved, ops.divide(ops.lengths(rows), ops.lengths(moved)))
        texts = self.transform(self.text_rows_, "text")
        return affine(ops, kept, np.float32(self.logit_scale_) * texts)

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        scale = np.array([self.logit_scale_])
        return {**self.layers_, "text_rows": self.text_rows_, "logit_scale": scale}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        layers = {name: arrays[name] for name in _LAYER_AXES}
        return self._set(layers, arrays["text_rows"], float(arrays["logit_scale"][0]))

    def _set(
        self,
        layers: dict[str, NDArray[np.float32]],
        text_rows: NDArray[np.float32],
        logit_scale: float,
    ) -> Self:
        self.classes_ = np.arange(len(text_rows))
        self.layers_, self.text_rows_, self.logit_scale_ = layers, text_rows, logit_scale
        self.n_parameters_ = sum(layer.size for layer in layers.values())
        self.history_ = ()
        return self
