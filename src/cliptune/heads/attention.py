"""The attention head: learned queries pool the tokens, and what they find moves the feature.

It knows nothing about where tokens come from; they may be memory-mapped and are read batch by
batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.arrays import FloatArray, row_chunks
from cliptune.heads.attention_stack import AttentionStack
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import (
    FitData,
    Needs,
    require_every_class,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.options import Member, TrainingPlan
from cliptune.heads.stack_run import Trained, read_rows
from cliptune.heads.training import train_one

__all__ = ["AttentionHead"]

V = TypeVar("V")

_AXES = {"query": 2, "value": 3, "out": 2, "weight": 2, "bias": 1}


@dataclass(eq=False)
class AttentionHead(BaseHead):
    """Multi-head attention pooling over tokens, added to the pooled feature, then a linear layer.

    logits = s (z . w_c + b_c), z = p + O attention(tokens) at the length of p, for the pooled
    feature p. O starts at zero and w_c at the class texts, so that epoch 0 is zero-shot.
    Attention with a learned query is that of Set Transformer, arXiv:1810.00825, section 3.2,
    and of attention pooling in arXiv:2103.00020, section 2.4, whose query is the mean token.

    Attributes:
        classes_: int64 (C,).
        layers_: float32 ``query`` (H, D), ``value`` (H, D / H, D), ``out`` (D, D), ``weight``
            (C, D), ``bias`` (C,).
        token_norm_: Mean norm of the training tokens.
        logit_scale_: s.
        best_epoch_: The epoch whose layers these are.
        n_parameters_: Numbers in ``layers_``.
        history_: One record an epoch, epoch 0 first.
    """

    name: ClassVar[str] = "attention"
    rank: ClassVar[int] = 90
    trained: ClassVar[bool] = True
    learns_from: ClassVar[Needs] = "tokens"
    saved_axes: ClassVar[Mapping[str, int]] = {**_AXES, "token_norm": 1, "logit_scale": 1}

    n_heads: int = 8
    lr: float = 1e-3
    weight_decay: float = 0.0
    seed: int = 0
    plan: TrainingPlan = field(default_factory=lambda: TrainingPlan(optimizer="adamw"))

    layers_: dict[str, NDArray[np.float32]] = field(init=False, repr=False)
    token_norm_: float = field(init=False, repr=False)
    logit_scale_: float = field(init=False, repr=False)
    best_epoch_: int = field(init=False, repr=False)

    @property
    def needs(self) -> Needs:
        """``tokens``, (N, 1 + T, D)."""
        return "tokens"

    def _learn(self, data: FitData) -> object:
        """Train."""
        member = Member(self.lr, self.weight_decay, self.seed)
        return self.adopt(train_one(self.make_stack(data), data, member, self.plan), data)

    def make_stack(self, data: FitData) -> AttentionStack:
        """Return what the trainer trains."""
        if not 1 <= self.n_heads <= data.dim:
            raise InputError(f"{self.n_heads} attention heads; expected 1 to {data.dim}")
        rows = data.text_rows
        if rows is None:
            require_every_class(data, self.name)
            rows = np.zeros((data.n_classes, data.dim), dtype=np.float32)
        return AttentionStack(
            rows,
            data.logit_scale,
            n_heads=self.n_heads,
            token_norm=_mean_token_norm(data.X),
        )

    def adopt(self, trained: Trained, data: FitData) -> Self:
        """Take over one head of a stack."""
        self._set(trained.parameters, _mean_token_norm(data.X), data.logit_scale)
        self.best_epoch_, self.history_ = trained.best_epoch, trained.history
        return self

    def _row_length(self) -> int:
        return int(self.layers_["weight"].shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        weight = self.layers_["weight"]
        stack = AttentionStack(
            weight, self.logit_scale_, n_heads=self.n_heads, token_norm=self.token_norm_
        )
        parameters = {k: torch.tensor(v)[None] for k, v in self.layers_.items()}
        logits = np.empty((len(rows), len(weight)), dtype=np.float32)
        for part in row_chunks(len(rows), bytes_per_row=4 * rows[0].size):
            logits[part] = stack.logits(parameters, read_rows(rows, part))[0].numpy()
        return logits

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators; see ``AttentionStack.logits``."""
        n_heads, width, dim = self.layers_["value"].shape
        pooled = ops.reshape(ops.part(rows, 1, 0, 1), (-1, dim))
        norm = ops.constant(np.array([self.token_norm_]))
        tokens = ops.divide(ops.part(rows, 1, 1), norm)
        scores = ops.softmax(affine(ops, tokens, self.layers_["query"]), axis=1)
        means = ops.matmul(ops.transpose(scores, (0, 2, 1)), tokens)
        values = ops.matmul(
            ops.reshape(means, (-1, n_heads, 1, dim)),
            ops.constant(self.layers_["value"].transpose(0, 2, 1)),
        )
        joined = ops.reshape(values, (-1, n_heads * width))
        moved = ops.add(pooled, affine(ops, joined, self.layers_["out"]))
        kept = ops.multiply(moved, ops.divide(ops.lengths(pooled), ops.lengths(moved)))
        scale = np.float32(self.logit_scale_)
        weight, bias = scale * self.layers_["weight"], scale * self.layers_["bias"]
        return affine(ops, kept, weight, bias)

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        scalars = {"token_norm": self.token_norm_, "logit_scale": self.logit_scale_}
        return {**self.layers_, **{k: np.array([v]) for k, v in scalars.items()}}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        layers = {name: arrays[name] for name in _AXES}
        return self._set(layers, float(arrays["token_norm"][0]), float(arrays["logit_scale"][0]))

    def _set(
        self, layers: dict[str, NDArray[np.float32]], token_norm: float, logit_scale: float
    ) -> Self:
        self.classes_ = np.arange(len(layers["weight"]))
        self.layers_, self.token_norm_, self.logit_scale_ = layers, token_norm, logit_scale
        self.n_parameters_ = sum(layer.size for layer in layers.values())
        self.history_ = ()
        return self


def _mean_token_norm(X: FloatArray) -> float:
    """Return the mean norm of tokens in at most 512 rows spread over X, 1 where all are zero."""
    sample = np.asarray(X[:: max(1, len(X) // 512), 1:], dtype=np.float32)
    return float(np.linalg.norm(sample, axis=2).mean()) or 1.0
