"""Many logistic regressions on the same rows at once: other weights of rows, other penalties.

Each problem is that of ``logistic``; here rows come in the eigenbasis of their covariance, where
its preconditioner is a scale for each coordinate, and the products of all problems are one. It
knows nothing about folds or about what the rows are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from cliptune.heads.products import summed_products

__all__ = [
    "Minima",
    "Objective",
    "Problems",
    "Solutions",
    "join_points",
    "minimise",
    "solve_batch",
]

_MAX_ITERATIONS = 200
_HISTORY = 8
_RELATIVE_TOLERANCE = 3e-6  # of the objective, a step
_MOST_HALVINGS = 10
_ARMIJO = 1e-4


@dataclass(frozen=True)
class Problems:
    """P problems over n rows.

    Attributes:
        rows: float32 (n, m), in the eigenbasis of their covariance.
        variances: float32 (m,), that covariance.
        labels: int64 (n,), 0..C-1.
        n_classes: C.
        weights: float32 (P, n), what each row counts in each problem; 0 for one that is left out.
        offset: float32 (n, C), logits that the weights are added to, or None.
        soft: float32 (n, C), what each row counts for each class, or None: what the label says.
    """

    rows: torch.Tensor
    variances: torch.Tensor
    labels: torch.Tensor
    n_classes: int
    weights: torch.Tensor
    offset: torch.Tensor | None = None
    soft: torch.Tensor | None = None

    @property
    def counts(self) -> torch.Tensor:
        """How many rows each problem has, float32 (P,)."""
        return self.weights.sum(dim=1)


@dataclass(frozen=True)
class Solutions:
    """Where the problems ended.

    Attributes:
        weight: float32 (P, C, m).
        bias: float32 (P, C).
        objective: float64 (P,), mean cross-entropy plus penalty.
        n_evaluations: Passes over the rows.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    objective: torch.Tensor
    n_evaluations: int

    def beyond(self, before: Solutions) -> Solutions:
        """Go on from these in the direction and as far as these are from those ``before``.

        Where penalties fall by one factor at a time, that is close to the next solutions.
        """
        return replace(
            self,
            weight=2 * self.weight - before.weight,
            bias=2 * self.bias - before.bias,
        )

    def logits(self, problems: Problems, number: int, rows: torch.Tensor) -> torch.Tensor:
        """Return a problem's logits for some of the rows, float32 (k, C)."""
        found = torch.addmm(self.bias[number], problems.rows[rows], self.weight[number].T)
        return found if problems.offset is None else found + problems.offset[rows]


def solve_batch(
    problems: Problems,
    penalty: torch.Tensor,
    *,
    start: Solutions | None = None,
    tolerance: float = _RELATIVE_TOLERANCE,
) -> Solutions:
    """Minimise sum_i v_i CE_i / sum_i v_i + penalty/2 |weight|^2 of every problem; bias is free.

    L-BFGS (Nocedal & Wright, Numerical Optimization, algorithm 7.4), preconditioned by Boehning's
    bound as ``logistic`` does, a step length for each problem by backtracking. A problem whose
    objective has settled is taken out of the batch.

    Args:
        problems: P of them.
        penalty: float32 (P,), above 0.
        start: Solutions of the same problems for other penalties.
        tolerance: As ``minimise`` takes it.

    Returns:
        The minima; their objectives are within about three times the tolerance of the exact ones.
    """
    batch = _Batch(problems, penalty)
    n_problems, dim = len(problems.weights), problems.rows.shape[1]
    points = torch.zeros(n_problems, problems.n_classes, dim + 1)
    if start is not None:
        points = join_points(start.weight, start.bias, batch.scale, batch.bias_unit)
    found = minimise(batch, points, tolerance=tolerance)
    weight, bias = batch.split(found.points, torch.arange(n_problems))
    return Solutions(weight, bias, found.values, found.n_evaluations)


def join_points(
    weight: torch.Tensor, bias: torch.Tensor, scale: torch.Tensor, bias_unit: float
) -> torch.Tensor:
    """Return weights (P, C, m) and biases (P, C) in preconditioned coordinates (P, C, m + 1)."""
    return torch.cat([weight / scale[:, None], (bias / bias_unit)[:, :, None]], dim=2)


@dataclass(frozen=True)
class Minima:
    """Where a descent ended.

    Attributes:
        points: float32 (P, C, m + 1), in the coordinates of the objective.
        values: float64 (P,), the objectives there.
        n_evaluations: How often they were evaluated.
    """

    points: torch.Tensor
    values: torch.Tensor
    n_evaluations: int


class Objective(Protocol):
    """P functions of points (C, m + 1), evaluated together."""

    def __call__(
        self, points: torch.Tensor, active: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values, float64 (p,), and gradients (p, C, m + 1).

        Args:
            points: float32 (p, C, m + 1), one for each active problem.
            active: int64 (p,), which these are.
        """
        ...


def minimise(
    objective: Objective, points: torch.Tensor, *, tolerance: float = _RELATIVE_TOLERANCE
) -> Minima:
    """Minimise P functions at once by L-BFGS; see ``solve_batch``.

    Args:
        objective: The functions, in coordinates where their Hessians are near the identity.
        points: float32 (P, C, m + 1), where to start.
        tolerance: A problem has settled whose step lowers its objective by a smaller share.
    """
    state = _State(objective, points, tolerance)
    for _ in range(_MAX_ITERATIONS):
        if not len(state.active):
            break
        state.step()
    return state.ended()


class _Batch:
    """Value and gradient of the problems in preconditioned coordinates (P, C, m + 1)."""

    def __init__(self, problems: Problems, penalty: torch.Tensor) -> None:
        curvature = (problems.n_classes - 1) / problems.n_classes**2
        self.problems, self.penalty = problems, penalty
        self.scale = (curvature * problems.variances + penalty[:, None]).rsqrt()
        self.bias_unit = curvature**-0.5
        self.shares = (problems.weights / problems.counts[:, None]).T.contiguous()
        self._numbers = torch.arange(len(problems.rows))

    def split(
        self, points: torch.Tensor, active: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights (p, C, m) and biases (p, C) of points."""
        return points[:, :, :-1] * self.scale[active, None], points[:, :, -1] * self.bias_unit

    def __call__(
        self, points: torch.Tensor, active: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        problems = self.problems
        p, n_classes, n = len(points), problems.n_classes, len(problems.rows)
        weight, bias = self.split(points, active)
        flat = weight.reshape(p * n_classes, -1)
        logits = torch.addmm(bias.reshape(-1), problems.rows, flat.T).view(n, p, n_classes)
        if problems.offset is not None:
            logits += problems.offset[:, None]
        shares = self.shares[:, active]
        normaliser = torch.logsumexp(logits, dim=2)
        losses = normaliser - (
            logits[self._numbers, :, problems.labels]
            if problems.soft is None
            else (logits * problems.soft[:, None]).sum(dim=2)
        )
        pull = self.penalty[active]
        value = (losses * shares).double().sum(dim=0)
        value += 0.5 * pull.double() * weight.double().square().sum(dim=(1, 2))
        residual = logits.sub_(normaliser[:, :, None]).exp_()
        if problems.soft is None:
            residual[self._numbers, :, problems.labels] -= 1
        else:
            residual -= problems.soft[:, None]
        residual *= shares[:, :, None]
        gradient = torch.empty_like(points)
        raw = summed_products(residual.view(n, p * n_classes), problems.rows).view_as(weight)
        gradient[:, :, :-1] = (raw + pull[:, None, None] * weight) * self.scale[active, None]
        gradient[:, :, -1] = residual.sum(dim=0) * self.bias_unit
        return value, gradient


class _State:
    """Where L-BFGS stands with the problems that have not settled."""

    def __init__(self, objective: Objective, points: torch.Tensor, tolerance: float) -> None:
        self.objective, self.tolerance = objective, tolerance
        self.active = torch.arange(len(points))
        self.points = points
        self.values, self.gradients = objective(points, self.active)
        self.n_evaluations = 1
        self._ended = points.clone()
        self._value = self.values.clone()
        self._pairs: deque[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = deque(maxlen=_HISTORY)

    def ended(self) -> Minima:
        """Return where every problem ended or stands."""
        self._keep(torch.ones(len(self.active), dtype=torch.bool))
        return Minima(self._ended, self._value, self.n_evaluations)

    def step(self) -> None:
        """Take one step with every problem, and let go of those that have settled."""
        direction, descent = self._direction()
        length = torch.ones(len(self.active))
        for _ in range(_MOST_HALVINGS):
            points = self.points + length[:, None, None] * direction
            values, gradients = self.objective(points, self.active)
            self.n_evaluations += 1
            bound = self.values + _ARMIJO * length * descent + 1e-7 * self.values.abs()
            lower = values <= bound
            if lower.all():
                break
            length = torch.where(lower, length, length / 2)
        gain = (self.values - values) / self.values.abs().clamp_min(1e-12)
        if not lower.all():  # these stay where they are
            taken = lower[:, None, None]
            points = torch.where(taken, points, self.points)
            gradients = torch.where(taken, gradients, self.gradients)
            values = torch.where(lower, values, self.values)
        moved, change = points - self.points, gradients - self.gradients
        self.points, self.gradients, self.values = points, gradients, values
        product = _dot(moved, change)
        inverse = torch.where(product > 1e-12, 1 / product.clamp_min(1e-12), 0.0)
        self._pairs.append((moved, change, inverse))
        self._let_go((gain < self.tolerance) | ~lower)

    def _direction(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the quasi-Newton direction and the slope along it; downhill in any case."""
        direction = self.gradients.clone()
        weights = []
        for moved, change, inverse in reversed(self._pairs):
            weight = inverse * _dot(moved, direction)
            direction.addcmul_(change, weight[:, None, None], value=-1)
            weights.append(weight)
        if self._pairs:
            moved, change, inverse = self._pairs[-1]
            scale = _dot(moved, change) / _dot(change, change).clamp_min(1e-30)
            direction *= torch.where(inverse > 0, scale, 1.0)[:, None, None]
        for (moved, change, inverse), weight in zip(self._pairs, reversed(weights), strict=True):
            weight = weight - inverse * _dot(change, direction)
            direction.addcmul_(moved, weight[:, None, None])
        direction.neg_()
        descent = _dot(self.gradients, direction)
        uphill = descent >= 0
        direction[uphill] = -self.gradients[uphill]
        return direction, torch.where(uphill, -_dot(self.gradients, self.gradients), descent)

    def _let_go(self, settled: torch.Tensor) -> None:
        if not settled.any():
            return
        self._keep(settled)
        rest = ~settled
        self.active, self.points = self.active[rest], self.points[rest]
        self.values, self.gradients = self.values[rest], self.gradients[rest]
        pairs = [(s[rest], c[rest], i[rest]) for s, c, i in self._pairs]
        self._pairs = deque(pairs, maxlen=_HISTORY)

    def _keep(self, which: torch.Tensor) -> None:
        self._ended[self.active[which]] = self.points[which]
        self._value[self.active[which]] = self.values[which]


def _dot(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the products of the problems' coordinates, (p,)."""
    products: torch.Tensor = torch.linalg.vecdot(first.flatten(1), second.flatten(1))
    return products
