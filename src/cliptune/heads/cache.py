"""The cache head: training rows as keys that add to the zero-shot logits (Tip-Adapter).

It knows nothing about how the two weights are searched elsewhere: here it is on validation
rows, never on test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CheckpointError, InputError
from cliptune.heads.arrays import FloatArray
from cliptune.heads.base import BaseHead
from cliptune.heads.cache_keys import (
    BETAS,
    USUAL_SHOTS,
    CacheStack,
    affinities,
    affinity_factor,
    make_keys,
)
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.contract import (
    FitData,
    require_text_rows,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.options import EpochRecord, Member, TrainingPlan
from cliptune.heads.saved import check_stored_labels
from cliptune.heads.training import train_one
from cliptune.heads.zero_shot import zero_shot_logits

__all__ = ["CacheHead"]

V = TypeVar("V")

_ALPHAS = tuple(10.0 ** np.arange(-2, 2.25, 0.25))


@dataclass(eq=False)
class CacheHead(BaseHead):
    """Tip-Adapter, and Tip-Adapter-F where the keys are trained.

    logits_c = s x . t_c + alpha n sum_{i in c} exp(-beta (1 - x . k_i)) / n_c, over the keys k_i
    of class c. Zhang et al., arXiv:2111.03930, equations 4 to 6. With n = min(n_c, 16), n_c
    averaged over the classes, this is theirs for balanced caches of up to 16 shots; in a larger
    one the sum over keys would grow with it and alpha lose its meaning. alpha and beta are
    chosen by validation log-loss at the best temperature (theirs: accuracy, on test).

    Args:
        fine_tuned: Train the keys (Tip-Adapter-F), with the alpha and beta below; both are
            chosen again afterwards.
        keys_per_class: Average a class's rows in that many random groups, section 4.4. None
            keeps every row, or 16 groups where keys are trained.
        alpha: Weight of the cache where there are no validation rows to choose it on.
        beta: Sharpness likewise.
        lr: Rate of the keys' training.
        seed: Of the groups and of the order of rows.
        plan: Of the keys' training; the default is the source's.

    Attributes:
        classes_: int64 (C,).
        keys_: float32 (n, D), in the order of their classes.
        key_labels_: int64 (n,).
        alpha_: Weight used.
        beta_: Sharpness used.
        text_rows_: float32 (C, D).
        logit_scale_: s.
        n_parameters_: 2, and the keys where they were trained.
        history_: Of the keys' training; empty where there is none.
    """

    name: ClassVar[str] = "cache"
    rank: ClassVar[int] = 80
    compared: ClassVar[bool] = True
    keeps_images: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {
        **{"keys": 2, "text_rows": 2},
        **{"key_labels": 1, "weights": 1},
    }

    fine_tuned: bool = False
    keys_per_class: int | None = None
    alpha: float = 1.0
    beta: float = 5.5
    lr: float = 1e-3
    seed: int = 0
    plan: TrainingPlan = field(default_factory=lambda: TrainingPlan(optimizer="adamw"))

    keys_: NDArray[np.float32] = field(init=False, repr=False)
    key_labels_: NDArray[np.int64] = field(init=False, repr=False)
    alpha_: float = field(init=False, repr=False)
    beta_: float = field(init=False, repr=False)
    text_rows_: NDArray[np.float32] = field(init=False, repr=False)
    logit_scale_: float = field(init=False, repr=False)

    def _learn(self, data: FitData) -> object:
        """Build the cache."""
        texts = require_text_rows(data, self.name)
        _check_weights(self)
        groups = USUAL_SHOTS if self.fine_tuned else None
        groups = groups if self.keys_per_class is None else self.keys_per_class
        keys, labels = make_keys(data, groups=groups, seed=self.seed)
        history: tuple[EpochRecord, ...] = ()
        if self.fine_tuned:
            keys, history = self._train(data, keys, labels)
        alpha, beta = _choose_weights(self, data, keys, labels)
        self._set(keys, labels, (alpha, beta), texts, data.logit_scale)
        self.history_ = history
        return self

    def _row_length(self) -> int:
        return int(self.keys_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        n_classes = len(self.classes_)
        cached = affinities(rows, self.keys_, self.key_labels_, (self.beta_,), n_classes)[0]
        texts = zero_shot_logits(rows, self.text_rows_, self.logit_scale_)
        texts += np.float32(self.alpha_) * cached
        return texts

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators; see ``affinities``."""
        counts = np.bincount(self.key_labels_, minlength=len(self.classes_))
        shares = np.zeros((len(counts), len(self.keys_)), dtype=np.float32)
        factors = affinity_factor(counts) / counts[self.key_labels_]
        shares[self.key_labels_, np.arange(len(self.keys_))] = factors
        offset = np.array([-self.beta_], dtype=np.float32)
        closeness = ops.exp(
            ops.add(affine(ops, rows, self.beta_ * self.keys_), ops.constant(offset))
        )
        texts = affine(ops, rows, np.float32(self.logit_scale_) * self.text_rows_)
        return ops.add(texts, affine(ops, closeness, np.float32(self.alpha_) * shares))

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        weights = np.array([self.alpha_, self.beta_, self.logit_scale_])
        return {
            "keys": self.keys_,
            "key_labels": self.key_labels_,
            "weights": weights,
            "text_rows": self.text_rows_,
        }

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        check_stored_labels(
            arrays["key_labels"], n_rows=len(arrays["keys"]), n_classes=len(arrays["text_rows"])
        )
        alpha, beta, scale = arrays["weights"].tolist()
        if min(alpha, beta) < 0 or scale <= 0:
            raise CheckpointError(f"saved weights {alpha}, {beta}, {scale} are not above 0")
        self._set(arrays["keys"], arrays["key_labels"], (alpha, beta), arrays["text_rows"], scale)
        return self

    def _train(
        self, data: FitData, keys: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], tuple[EpochRecord, ...]]:
        stack = CacheStack(
            keys,
            labels,
            require_text_rows(data, self.name),
            data.logit_scale,
            weights=(self.alpha, self.beta),
        )
        trained = train_one(stack, data, Member(self.lr, seed=self.seed), self.plan)
        return trained.parameters["keys"], trained.history

    def _set(
        self,
        keys: NDArray[np.float32],
        labels: NDArray[np.int64],
        weights: tuple[float, float],
        text_rows: NDArray[np.float32],
        logit_scale: float,
    ) -> None:
        self.classes_ = np.arange(len(text_rows))
        self.keys_, self.key_labels_ = keys, labels
        self.alpha_, self.beta_ = weights
        self.text_rows_, self.logit_scale_ = text_rows, logit_scale
        self.n_parameters_ = 2 + (keys.size if self.fine_tuned else 0)
        self.history_ = ()


def _check_weights(head: CacheHead) -> None:
    for name, value in (("alpha", head.alpha), ("beta", head.beta)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; expected a finite number above 0")
    if head.keys_per_class is not None and head.keys_per_class < 1:
        raise InputError(f"keys_per_class is {head.keys_per_class}; expected 1 or more, or None")


def _choose_weights(
    head: CacheHead, data: FitData, keys: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    if data.validation is None:
        return head.alpha, head.beta
    X, y = data.validation
    texts = zero_shot_logits(X, require_text_rows(data, head.name), data.logit_scale)
    cached = affinities(X, keys, labels, BETAS, data.n_classes)
    candidates = [
        (calibrated_log_loss(texts + np.float32(alpha) * part, y), alpha, beta)
        for beta, part in zip(BETAS, cached, strict=True)
        for alpha in _ALPHAS
    ]
    _, alpha, beta = min(candidates)
    return float(alpha), beta
