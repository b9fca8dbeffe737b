"""Logistic regressions over rows that are read anew for every gradient.

Several penalties are minimised at once, so that each pass over the rows serves all of them. The
objective is that of ``LinearHead``; a sample in memory says where to start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.arrays import row_chunks
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.linear import LinearHead
from cliptune.heads.logistic_batch import (
    Minima,
    Problems,
    Solutions,
    join_points,
    minimise,
    solve_batch,
)
from cliptune.heads.products import flush_tiny
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.partwise.moments import Moments

__all__ = ["MULTIPLES", "Basis", "Penalised", "Regressions", "Rows", "start_on_sample"]

# Multiples of 1 / N: in terms of scikit-learn's C, from 0.1 to 100.
MULTIPLES = (10.0, 1.0, 0.1, 0.01)
_USUAL = (0.1, 1.0, 0.01, 10.0)  # where nothing says which suit, and there is not room for all
# Of the objective, a step: what is left to gain is then well below a thousandth of a nat.
_TOLERANCE = 1e-4
_LOGIT_BYTES = 24 << 20  # of the logits of all problems, at once
_PROBLEM_BYTES = 512 << 20  # of points and what L-BFGS remembers of them
_REMEMBERED = 24  # points of a problem, at the most
_FEWEST_A_CLASS = 2  # rows of a sample, below which nothing is learned from it

Rows = Callable[[], Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]]


@dataclass(frozen=True)
class Basis:
    """Coordinates in which rows are centred and do not correlate.

    Attributes:
        mean: float64 (D,).
        axes: float64 (D, D), one a column.
        variances: float64 (D,), along the axes.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def of(cls, moments: Moments) -> Basis:
        """Return the eigenbasis of the rows' covariance."""
        variances, axes = np.linalg.eigh(moments.covariance)
        return cls(moments.mean, axes, np.maximum(variances, 0))

    def rows(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows (n, D) in these coordinates."""
        centred = rows - self.mean.astype(np.float32)
        found: NDArray[np.float32] = centred @ self.axes.astype(np.float32)
        return found


@dataclass(frozen=True)
class Penalised:
    """Logistic regressions with several penalties, from one anchor.

    Attributes:
        multiples: (P,), penalties times the number of rows.
        text: Weight of the zero-shot logits that they add to.
        weight: float32 (P, C, D), what is added to the anchor, along the axes of a basis.
        bias: float32 (P, C), for centred rows.
    """

    multiples: tuple[float, ...]
    text: float
    weight: torch.Tensor
    bias: torch.Tensor

    def only(self, number: int) -> Penalised:
        """Return one of them alone."""
        place = slice(number, number + 1)
        return Penalised(self.multiples[place], self.text, self.weight[place], self.bias[place])


@dataclass(frozen=True)
class Regressions:
    """What logistic regressions of one job have in common.

    Attributes:
        basis: Of the rows; it only speeds the descent.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
    """

    basis: Basis
    text_rows: NDArray[np.float32]
    logit_scale: float

    @property
    def at_once(self) -> int:
        """How many penalties there is room for, one at least."""
        return max(1, _PROBLEM_BYTES // (4 * _REMEMBERED * (self.text_rows.size + 1)))

    def minimise(self, start: Penalised, rows: Rows, n: int) -> tuple[Penalised, int]:
        """Minimise mean cross-entropy + penalty/2 |weight - anchor|^2; the bias is free.

        Args:
            start: Penalties and where to start.
            rows: Gives n rows with their labels in batches, anew at every call.
            n: How many.

        Returns:
            The minima, and how many passes over the rows they took.
        """
        objective = _Streamed(self, start, rows, n)
        points = join_points(start.weight, start.bias, objective.scale, objective.bias_unit)
        found: Minima = minimise(objective, points, tolerance=_TOLERANCE)
        weight, bias = objective.split(found.points, torch.arange(len(points)))
        return Penalised(start.multiples, start.text, weight, bias), found.n_evaluations

    def plain(self, found: Penalised) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weights (P, C, D) and biases (P, C) for rows as they came, anchor included."""
        added = found.weight.double().numpy() @ self.basis.axes.T
        bias = found.bias.double().numpy() - added @ self.basis.mean
        anchor = found.text * self.logit_scale * self.text_rows.astype(np.float64)
        return (added + anchor).astype(np.float32), bias.astype(np.float32)

    def logits(
        self, found: Penalised, number: int, rows: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the logits of one of them for rows (n, D), float32 (n, C)."""
        weight, bias = self.plain(found.only(number))
        answers: NDArray[np.float32] = rows @ weight[0].T + bias[0]
        return answers

    def head(self, found: Penalised, number: int, n: int) -> LinearHead:
        """Return one of them, which learned from n rows, as a head."""
        weight, bias = self.plain(found.only(number))
        penalty = found.multiples[number] / n
        return LinearHead.from_state(
            {"penalty": penalty, "features": "embedding", "text": found.text},
            {"weight": weight[0], "bias": bias[0], "penalty": np.full(len(bias[0]), penalty)},
        )

    def nothing(self, multiples: Sequence[float], text: float) -> Penalised:
        """Return the anchor itself, where nothing is learned yet."""
        n_classes, dim = self.text_rows.shape
        shape = (len(multiples), n_classes)
        return Penalised(tuple(multiples), text, torch.zeros(*shape, dim), torch.zeros(shape))


class _Streamed:
    """Value and gradient in preconditioned coordinates (p, C, D + 1), summed over batches."""

    def __init__(self, shared: Regressions, start: Penalised, rows: Rows, n: int) -> None:
        n_classes = len(shared.text_rows)
        curvature = (n_classes - 1) / n_classes**2  # as ``logistic`` explains
        self.penalty = torch.tensor(start.multiples, dtype=torch.float64) / n
        variances = torch.from_numpy(shared.basis.variances)
        self.scale = (curvature * variances + self.penalty[:, None]).rsqrt().float()
        self.bias_unit = curvature**-0.5
        self._shared, self._start, self._rows, self._n = shared, start, rows, n

    def split(
        self, points: torch.Tensor, active: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights (p, C, D) along the axes and biases (p, C) of points."""
        return points[:, :, :-1] * self.scale[active, None], points[:, :, -1] * self.bias_unit

    def __call__(
        self, points: torch.Tensor, active: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        basis, pull = self._shared.basis, self.penalty[active]
        weight, bias = self.split(points, active)
        sums = _Sums(*self._plain(weight, bias))
        for vectors, labels in self._rows():
            sums.add(vectors, labels)
        losses, of_weight, of_bias = sums.means(self._n)
        value = torch.from_numpy(losses) + 0.5 * pull * weight.double().square().sum(dim=(1, 2))
        centred = of_weight - of_bias[:, :, None] * basis.mean
        along = torch.from_numpy(centred @ basis.axes) + pull[:, None, None] * weight.double()
        gradient = torch.empty_like(points)
        gradient[:, :, :-1] = along * self.scale[active, None]
        gradient[:, :, -1] = torch.from_numpy(of_bias) * self.bias_unit
        return value, gradient

    def _plain(self, weight: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        multiples = (0.0,) * len(weight)  # they do not matter here
        found = Penalised(multiples, self._start.text, weight, bias)
        weights, biases = self._shared.plain(found)
        return torch.from_numpy(weights), torch.from_numpy(biases)


class _Sums:
    """Losses and gradients of p problems, added up in double precision."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._shape = p, n_classes, dim = tuple(weight.shape)
        self._weight, self._bias = weight.reshape(-1, dim), bias.reshape(-1)
        self._losses = torch.zeros(p, dtype=torch.float64)
        self._gradient = torch.zeros(p * n_classes, dim, dtype=torch.float64)
        self._residuals = torch.zeros(p * n_classes, dtype=torch.float64)

    def add(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Add rows (n, D)."""
        p, n_classes, _ = self._shape
        for place in row_chunks(
            len(vectors), bytes_per_row=4 * p * n_classes, chunk_bytes=_LOGIT_BYTES
        ):
            rows, own = torch.from_numpy(vectors[place]), torch.from_numpy(labels[place])
            n = len(rows)
            logits = torch.addmm(self._bias, rows, self._weight.T).view(n, p, n_classes)
            normaliser = torch.logsumexp(logits, dim=2)
            numbers = torch.arange(n)
            self._losses += (normaliser - logits[numbers, :, own]).double().sum(dim=0)
            residual = flush_tiny(logits.sub_(normaliser[:, :, None]).exp_())
            residual[numbers, :, own] -= 1
            flat = residual.view(n, -1)
            self._gradient += flat.T @ rows
            self._residuals += flat.sum(dim=0, dtype=torch.float64)

    def means(self, n: int) -> tuple[NDArray[np.float64], ...]:
        """Return losses (p,), gradients (p, C, D) and (p, C), of n rows."""
        p, n_classes, dim = self._shape
        return (
            self._losses.numpy() / n,
            self._gradient.view(p, n_classes, dim).numpy() / n,
            self._residuals.view(p, n_classes).numpy() / n,
        )


def start_on_sample(
    shared: Regressions,
    sample: tuple[NDArray[np.float32], NDArray[np.int64]],
    held: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> Penalised:
    """Learn from a sample, to have a place to start from and to see whether texts help.

    Of the two anchors, the class texts and nothing, the one stays whose best penalty has the lower
    log-loss on held-out rows; where there is no room for all penalties, those that suit best.

    Args:
        shared: What the regressions have in common.
        sample: Rows (n, D) and labels of some of the rows to learn from.
        held: The same of the held-out rows.
    """
    vectors, labels = sample
    n_classes = len(shared.text_rows)
    if len(labels) < _FEWEST_A_CLASS * n_classes:
        return shared.nothing(sorted(_USUAL[: shared.at_once], reverse=True), 1.0)
    rows = torch.from_numpy(shared.basis.rows(vectors))
    found, losses = [], []
    for text in (0.0, 1.0):
        offset = text * zero_shot_logits(vectors, shared.text_rows, shared.logit_scale)
        own = _solve_in_turns(shared, rows, labels, offset if text else None, text)
        found.append(own)
        losses.append(
            [
                calibrated_log_loss(shared.logits(own, number, held[0]), held[1])
                for number in range(len(MULTIPLES))
            ]
        )
    best = int(np.argmin([min(own) for own in losses]))
    kept = sorted(np.argsort(losses[best])[: shared.at_once].tolist())
    chosen = found[best]
    multiples = tuple(MULTIPLES[number] for number in kept)
    return Penalised(multiples, chosen.text, chosen.weight[kept], chosen.bias[kept])


def _solve_in_turns(
    shared: Regressions,
    rows: torch.Tensor,
    labels: NDArray[np.int64],
    offset: NDArray[np.float32] | None,
    text: float,
) -> Penalised:
    """Solve all penalties on a sample, as many at once as there is room for."""
    solved: list[Solutions] = []
    for start in range(0, len(MULTIPLES), shared.at_once):
        own = torch.tensor(MULTIPLES[start : start + shared.at_once])
        problems = Problems(
            rows,
            torch.from_numpy(shared.basis.variances).float(),
            torch.from_numpy(labels),
            n_classes=len(shared.text_rows),
            weights=torch.ones(len(own), len(labels)),
            offset=None if offset is None else torch.from_numpy(offset),
        )
        solved.append(solve_batch(problems, own / len(labels)))
    return Penalised(
        MULTIPLES,
        text,
        torch.cat([one.weight for one in solved]),
        torch.cat([one.bias for one in solved]),
    )
