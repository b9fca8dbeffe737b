"""The discriminant head: Gaussian classes with one shrunk covariance, in closed form.

It knows nothing about training; only its weight against the class texts is chosen, on
validation rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError
from cliptune.heads.arrays import FloatArray, project, row_chunks
from cliptune.heads.base import BaseHead
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.contract import (
    FeatureChoice,
    FitData,
    Needs,
    learned_columns,
    needs_of_features,
    require_every_class,
    require_text_rows,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.prototype import class_means
from cliptune.heads.zero_shot import zero_shot_logits

__all__ = ["DiscriminantHead", "shrink", "shrinking", "usual_shrinkage"]

V = TypeVar("V")

_MIXES = tuple(10.0 ** np.arange(-4, 2.5, 0.5))


@dataclass(eq=False)
class DiscriminantHead(BaseHead):
    """Gaussian discriminant analysis added to the zero-shot logits.

    logits = a s x . t_c + mix (x . w_c + b_c), with w_c = P m_c and b_c = -1/2 m_c . P m_c for
    class means m_c and the precision P of the shrunk covariance (1 - h) S + h tr(S)/D I, S that
    within classes; classes count as equally likely. Without a ``shrinkage`` h = D / (N - 1 + D):
    Wang et al., arXiv:2402.04087, equations 5 to 9. Departures: their P is this one times
    D / (N - 1 + D), a factor that ``mix`` absorbs; the mix is chosen by validation log-loss at
    the best temperature instead of accuracy. With h = 1 the Gaussian part is the nearest class
    mean.

    With other features rows are (N, D + E), the image tower's features before its projection
    behind the unit embedding, each part of norm 1. The zero-shot part is over the embedding, the
    Gaussian part over all of them (``both``) or the E behind it (``penultimate``); D above is then
    that many.

    Args:
        mix: Weight of the Gaussian part where there are no validation rows to choose it on.
        features: ``embedding``, ``penultimate`` or ``both``.
        shrinkage: h, above 0 and up to 1; None for the rule above.
        text: a, the weight of the zero-shot logits; 0 leaves the texts out.

    Attributes:
        classes_: int64 (C,).
        weight_: float32 (C, D), or (C, D + E), both parts added; logits are X @ weight_.T + bias_.
        bias_: float32 (C,).
        mix_: The weight used; 1 without text rows, where there is nothing to mix.
        n_parameters_: C (D + 1), or C (D + E + 1).
        history_: Empty, there is no training.
    """

    name: ClassVar[str] = "discriminant"
    rank: ClassVar[int] = 20
    compared: ClassVar[bool] = True
    learns_from: ClassVar[Needs] = "trunk"
    takes_soft_labels: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"weight": 2, "bias": 1, "mix": 1}

    mix: float = 1.0
    features: FeatureChoice = "embedding"
    shrinkage: float | None = None
    text: float = 1.0

    weight_: NDArray[np.float32] = field(init=False, repr=False)
    bias_: NDArray[np.float32] = field(init=False, repr=False)
    mix_: float = field(init=False, repr=False)

    @property
    def needs(self) -> Needs:
        """``pooled`` rows (N, D), or ``trunk`` rows (N, D + E) for other features."""
        return needs_of_features(self.features)

    def _learn(self, data: FitData) -> object:
        """Estimate means and covariance."""
        require_every_class(data, self.name)
        _check_weights(self)
        kept = learned_columns(data, self.features, self.name)
        weight, bias = _gaussian_classes(data, kept, self.shrinkage)
        has_text = data.text_rows is not None and self.text > 0
        mix = _choose_mix(self, data, weight, bias) if has_text else 1.0
        if has_text:
            texts = np.float32(self.text * data.logit_scale) * require_text_rows(data, self.name)
            weight = np.float32(mix) * weight + texts
            bias = np.float32(mix) * bias
        return self._set(weight, bias, mix)

    def _row_length(self) -> int:
        return int(self.weight_.shape[1])

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        return project(rows, self.weight_) + self.bias_

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits, written in operators."""
        return affine(ops, rows, self.weight_, self.bias_)

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name."""
        mix = np.array([self.mix_])
        return {"weight": self.weight_, "bias": self.bias_, "mix": mix}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        return self._set(arrays["weight"], arrays["bias"], float(arrays["mix"][0]))

    def _set(self, weight: NDArray[np.float32], bias: NDArray[np.float32], mix: float) -> Self:
        self.classes_ = np.arange(len(weight))
        self.weight_, self.bias_, self.mix_ = weight, bias, mix
        self.n_parameters_ = weight.size + bias.size
        self.history_ = ()
        return self


def _check_weights(head: DiscriminantHead) -> None:
    if not (np.isfinite(head.mix) and head.mix > 0):
        raise InputError(f"mix is {head.mix}; expected a finite number above 0")
    if head.shrinkage is not None and not 0 < head.shrinkage <= 1:
        raise InputError(f"shrinkage is {head.shrinkage}; expected above 0 and up to 1, or None")
    if not (np.isfinite(head.text) and head.text >= 0):
        raise InputError(f"text is {head.text}; expected a finite number, 0 or above")


def _gaussian_classes(
    data: FitData, kept: slice, shrinkage: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return w, (C, D) or (C, D + E) with zeros where nothing is learned, and b (C,)."""
    from scipy.linalg import cho_factor, cho_solve

    means = class_means(data)[:, kept]
    covariance = _shrunk_covariance(data, kept, means, shrinkage)
    solved = cho_solve(cho_factor(covariance), means.T).T
    weight = np.zeros((data.n_classes, data.dim), dtype=np.float32)
    weight[:, kept] = solved
    return weight, (-0.5 * (solved * means).sum(axis=1)).astype(np.float32)


def _shrunk_covariance(
    data: FitData, kept: slice, means: NDArray[np.float64], shrinkage: float | None
) -> NDArray[np.float64]:
    n_rows, dim = len(data.y), means.shape[1]
    scatter = np.zeros((dim, dim))
    for part in row_chunks(n_rows, bytes_per_row=8 * dim):
        own = means[data.y[part]] if data.soft is None else data.soft[part] @ means
        centred = (data.X[part, kept] - own).astype(np.float32)
        scatter += centred.T @ centred
        if data.soft is not None:  # and the classes that a row is shared by differ
            scatter += _shared(data.soft[part], means, own)
    return shrink(scatter / n_rows, means, usual_shrinkage(n_rows, dim, shrinkage), dim)


def _shared(
    soft: NDArray[np.float32], means: NDArray[np.float64], own: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the scatter of the class means of each row around their mean, float64 (m, m)."""
    sizes = soft.sum(axis=0, dtype=np.float64)
    shared: NDArray[np.float64] = (means.T * sizes) @ means - own.T @ own
    return shared


def usual_shrinkage(n_rows: int, dim: int, shrinkage: float | None) -> float:
    """Return h for N rows of length D where none is given: D / (N - 1 + D)."""
    return dim / (n_rows - 1 + dim) if shrinkage is None else shrinkage


def shrink(
    within: NDArray[np.float64], means: NDArray[np.float64], shrinkage: float, dim: int
) -> NDArray[np.float64]:
    """Return (1 - h) S + h tr(S)/D I for a covariance S within classes.

    One row a class leaves nothing that varies within: equal variances, as large as between
    classes, then leave the nearest class mean.

    Args:
        within: float64 (m, m), S, in the coordinates of the rows or of a subspace of theirs.
        means: float64 (C, m), the class means.
        shrinkage: h.
        dim: D, the length of the rows themselves.
    """
    kept, ridge = shrinking(float(np.trace(within)), means, shrinkage, dim)
    mixed: NDArray[np.float64] = kept * within
    mixed[np.diag_indices(len(mixed))] += ridge
    return mixed


def shrinking(
    spread: float, means: NDArray[np.float64], shrinkage: float, dim: int
) -> tuple[float, float]:
    """Return 1 - h and h tr(S)/D, by which ``shrink`` weighs S and the identity.

    Args:
        spread: tr(S), the variance within classes.
        means: float64 (C, m), the class means.
        shrinkage: h.
        dim: D.
    """
    tiny = float(np.finfo(np.float32).eps)
    if spread < tiny:
        spread, shrinkage = max(float(means.var(axis=0).sum()), tiny), 1.0
    return 1 - shrinkage, shrinkage * spread / dim


def _choose_mix(
    head: DiscriminantHead,
    data: FitData,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> float:
    if data.validation is None:
        return head.mix
    X, y = data.validation
    texts = np.float32(head.text) * zero_shot_logits(
        X, require_text_rows(data, head.name), data.logit_scale
    )
    gaussians = project(X, weight) + bias
    losses = [calibrated_log_loss(texts + np.float32(mix) * gaussians, y) for mix in _MIXES]
    return float(_MIXES[int(np.argmin(losses))])
