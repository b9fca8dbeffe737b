"""The linear head: logistic regression that starts from the class texts.

It knows nothing about mini-batches: the objective is convex and is solved to its minimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError, UnknownNameError
from cliptune.heads.arrays import FloatArray, accuracy, log_loss, project, softmax
from cliptune.heads.balance import Balance, balanced_weights, check_balance, log_prior
from cliptune.heads.base import BaseHead
from cliptune.heads.contract import (
    FeatureChoice,
    FitData,
    Needs,
    learned_columns,
    needs_of_features,
    require_every_class,
)
from cliptune.heads.expression import Operators, affine
from cliptune.heads.options import EpochRecord
from cliptune.heads.zero_shot import zero_shot_logits

if TYPE_CHECKING:
    from cliptune.heads.logistic import LogisticProblem, LogisticSolution

__all__ = ["PENALTIES", "LinearHead"]

V = TypeVar("V")

_INVERSE_STRENGTH = 10  # its neighbours are no better on held-out rows; see docs/heads.md
PENALTIES = ("class-adaptive", "one-over-n", "validation")
# The path of ``validation``: the one-over-n penalty times these, from the strongest on, until
# the loss has risen this often in a row.
_PATH = tuple(10.0**power for power in np.arange(2.0, -2.25, -0.5))
_PATIENCE = 2


@dataclass(eq=False)
class LinearHead(BaseHead):
    """Logistic regression on unit rows, anchored at the class texts.

    Minimises mean cross-entropy + 1/2 sum_c penalty_c |weight_c - s t_c|^2, where t_c is the
    text row of class c and s the logit scale; the bias is free. Without text rows the anchor is
    zero. Starting from texts is ZS-LP of Silva-Rodriguez et al., arXiv:2312.12730, section 4.1;
    unlike there, rows are not normalised again, which keeps the problem convex.

    - ``one-over-n``: 1 / (10 N) for N training rows: scikit-learn's C = 10 at every size. That
      the pull towards the texts should fall as 1 / N is ProLIP's rule, arXiv:2410.05270,
      section 3.3, for CLIP's projection; here N counts all rows, not those of a class, and the
      penalty is on the logits' weights, since w = weight / s would make it depend on s.
    - ``class-adaptive``: in w_c = weight_c / s, lambda_c |w_c - t_c|^2 with lambda_c the mean
      zero-shot probability of their own class over the rows of class c, then one step of the
      Powell-Hestenes-Rockafellar multipliers, lambda_c + rho |w_c - t_c|^2 with rho = 1, and a
      second solution. CLAP, arXiv:2312.12730, equations 6 to 9; a class without rows keeps its
      text: lambda_c = 1.
    - ``validation``: the multiple of ``one-over-n`` between 100 and 1/100 that has the lowest
      validation loss.
    - a number: that penalty on every class. It is 1 / (C N) in terms of scikit-learn's C.

    With other features rows are (N, D + E): the unit embedding, then E features of the image
    tower before its projection, at norm 1, as ``encode_trunk`` gives them. ``both`` learns weights
    for all D + E, anchored at t_c with E zeros behind it. ``penultimate`` learns the E alone, as
    CLIP's own linear probe does (arXiv:2103.00020, section 3.2 and appendix A.3), on top of the
    zero-shot logits.

    Args:
        penalty: One of the rules above, or a number.
        features: ``embedding``, ``penultimate`` or ``both``.
        text: Weight of the zero-shot logits that it starts from, in place of 1; 0 leaves the
            texts out.
        balance: Where classes are of unlike sizes: ``loss`` weighs rows so that all classes count
            alike in what is minimised; ``prior`` minimises as ever, then takes the logarithm of
            each class's share off its bias (see ``balance``).

    Attributes:
        classes_: int64 (C,).
        weight_: float32 (C, D), or (C, D + E); logits are X @ weight_.T + bias_.
        bias_: float32 (C,).
        penalty_: float64 (C,), the penalties used.
        n_parameters_: The size of both: C (D + 1), or C (D + E + 1).
        history_: Before training, and at the minimum; ``epoch`` counts passes over the rows.
    """

    name: ClassVar[str] = "linear"
    rank: ClassVar[int] = 30
    compared: ClassVar[bool] = True
    iterated: ClassVar[bool] = True
    learns_from: ClassVar[Needs] = "trunk"
    takes_soft_labels: ClassVar[bool] = True
    saved_axes: ClassVar[Mapping[str, int]] = {"weight": 2, "bias": 1, "penalty": 1}

    penalty: Literal["one-over-n", "class-adaptive", "validation"] | float = "one-over-n"
    features: FeatureChoice = "embedding"
    text: float = 1.0
    balance: Balance = "none"

    weight_: NDArray[np.float32] = field(init=False, repr=False)
    bias_: NDArray[np.float32] = field(init=False, repr=False)
    penalty_: NDArray[np.float64] = field(init=False, repr=False)

    @property
    def needs(self) -> Needs:
        """``pooled`` rows (N, D), or ``trunk`` rows (N, D + E) for other features."""
        return needs_of_features(self.features)

    def _learn(self, data: FitData) -> object:
        """Find the minimum."""
        _check_penalty(self.penalty, data)
        check_balance(self.balance)
        if data.text_rows is None:
            require_every_class(data, self.name)
        if not (np.isfinite(self.text) and self.text >= 0):
            raise InputError(f"text is {self.text}; expected a finite number, 0 or above")
        start, kept = _start(data, self.text), learned_columns(data, self.features, self.name)
        problem, anchor = _problem(data, start, kept, self.balance)
        self.penalty_, solution = _solve(self.penalty, problem, data, anchor, start, kept)
        weight = start.copy()
        weight[:, kept] = solution.weight
        bias = np.zeros(data.n_classes, dtype=np.float32)
        before = _record(0, data, start, bias)
        learned = solution.bias
        if self.balance == "prior":
            learned = learned - log_prior(data.y, data.n_classes)
        after = _record(solution.n_evaluations, data, weight, learned)
        self._set(weight, learned)
        self.history_ = (before, after)
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
        return {"weight": self.weight_, "bias": self.bias_, "penalty": self.penalty_}

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what was saved."""
        self.penalty_ = arrays["penalty"]
        return self._set(arrays["weight"], arrays["bias"])

    def _set(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Self:
        self.classes_ = np.arange(len(weight))
        self.weight_, self.bias_ = weight, bias
        self.n_parameters_ = weight.size + bias.size
        self.history_ = ()
        return self


def _check_penalty(penalty: str | float, data: FitData) -> None:
    if isinstance(penalty, str):
        if penalty not in PENALTIES:
            raise UnknownNameError("penalty", penalty, PENALTIES, "or a number above 0")
    elif not (np.isfinite(penalty) and penalty > 0):
        raise InputError(f"penalty is {penalty}; expected a finite number above 0 or a name")
    if penalty == "validation" and data.validation is None:
        raise InputError("penalty 'validation' came without validation rows; pass them")
    if penalty == "class-adaptive" and data.text_rows is None:
        raise InputError("penalty 'class-adaptive' keeps classes near their texts; pass text_rows")


def _start(data: FitData, text: float) -> NDArray[np.float32]:
    """Return the weights of the zero-shot logits, float32 (C, D) or (C, D + E)."""
    if data.text_rows is None:
        return np.zeros((data.n_classes, data.dim), dtype=np.float32)
    return np.float32(text * data.logit_scale) * data.text_rows


def _problem(
    data: FitData, start: NDArray[np.float32], kept: slice, balance: Balance
) -> tuple[LogisticProblem, NDArray[np.float32]]:
    """Return what is to be minimised over some columns, and where its penalty is zero.

    Where all columns are learned, the start is the anchor; else what it gives is an offset.
    """
    from cliptune.heads.logistic import make_problem  # with torch, which answering does without

    n_classes = data.n_classes
    weights = balanced_weights(data.y, n_classes) if balance == "loss" else None
    if kept == slice(None):
        problem = make_problem(
            data.X, data.y, n_classes=n_classes, weights=weights, soft_labels=data.soft
        )
        return problem, start
    rows, offset = data.X[:, kept], project(data.X, start)
    problem = make_problem(
        rows, data.y, n_classes=n_classes, offset=offset, weights=weights, soft_labels=data.soft
    )
    return problem, np.zeros((data.n_classes, rows.shape[1]), dtype=np.float32)


def _solve(
    penalty: str | float,
    problem: LogisticProblem,
    data: FitData,
    anchor: NDArray[np.float32],
    start: NDArray[np.float32],
    kept: slice,
) -> tuple[NDArray[np.float64], LogisticSolution]:
    from cliptune.heads.logistic import solve  # with torch, which answering does without

    if penalty == "class-adaptive":
        return _solve_class_adaptive(problem, data, anchor)
    rule = np.full(data.n_classes, 1 / (_INVERSE_STRENGTH * len(data.y)))
    if penalty == "validation":
        return _solve_path(problem, data, anchor, rule, start, kept)
    chosen = rule if isinstance(penalty, str) else np.full(data.n_classes, float(penalty))
    return chosen, solve(problem, chosen, anchor=anchor)


def _solve_class_adaptive(
    problem: LogisticProblem, data: FitData, anchor: NDArray[np.float32]
) -> tuple[NDArray[np.float64], LogisticSolution]:
    from cliptune.heads.logistic import solve  # with torch, which answering does without

    assert data.text_rows is not None  # checked with the penalty's name
    unit = 2 / data.logit_scale**2  # the factor from |w - t|^2 to 1/2 |weight - anchor|^2
    zero_shot = softmax(zero_shot_logits(data.X, data.text_rows, data.logit_scale))
    of_own_class = zero_shot[np.arange(len(data.y)), data.y]
    sums = np.bincount(data.y, weights=of_own_class, minlength=data.n_classes)
    counts = data.class_counts
    multipliers = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    first = solve(problem, unit * multipliers, anchor=anchor)
    multipliers += ((first.weight - anchor) ** 2).sum(axis=1) / data.logit_scale**2
    return unit * multipliers, solve(problem, unit * multipliers, anchor=anchor, start=first)


def _solve_path(
    problem: LogisticProblem,
    data: FitData,
    anchor: NDArray[np.float32],
    rule: NDArray[np.float64],
    start: NDArray[np.float32],
    kept: slice,
) -> tuple[NDArray[np.float64], LogisticSolution]:
    from cliptune.heads.logistic import solve  # with torch, which answering does without

    assert data.validation is not None  # checked with the penalty's name
    X, y = data.validation
    offset = np.float32(0) if problem.offset is None else project(X, start)
    rows = X[:, kept]
    best: tuple[float, NDArray[np.float64], LogisticSolution] | None = None
    solution: LogisticSolution | None = None
    n_worse = 0
    for factor in _PATH:
        solution = solve(problem, factor * rule, anchor=anchor, start=solution)
        loss = log_loss(project(rows, solution.weight) + solution.bias + offset, y)
        n_worse = 0 if best is None or loss < best[0] else n_worse + 1
        if n_worse == 0:
            best = (loss, factor * rule, solution)
        if n_worse > _PATIENCE:
            break
    assert best is not None  # the path is not empty
    return best[1], best[2]


def _record(
    epoch: int, data: FitData, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> EpochRecord:
    scores: list[float] = []
    for X, y in [(data.X, data.y), *([data.validation] if data.validation else [])]:
        logits = project(X, weight) + bias
        scores += [log_loss(logits, y), accuracy(logits, y)]
    return EpochRecord(epoch, *scores)
