"""Logistic regression with an anchored L2 penalty, solved by L-BFGS in whitened coordinates.

It knows nothing about texts or validation: it minimises one objective over given rows.
scikit-learn minimises the same function for an anchor of zero; its L-BFGS works in the raw
coordinates, where a few directions of CLIP's features carry most of the variance and
convergence takes four times the passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray
from cliptune.heads.products import flush_tiny, squared, summed_products
from cliptune.system.blas import one_blas_thread

__all__ = ["LogisticProblem", "LogisticSolution", "make_problem", "solve"]

_MAX_ITERATIONS = 300
_HISTORY = 10  # pairs that L-BFGS keeps
_RELATIVE_TOLERANCE = 1e-6  # of the objective, a step; validation loss is then settled to 1e-4
_NOTHING = 1e-12  # of the largest variance, which double precision does not tell from none


@dataclass(frozen=True)
class LogisticProblem:
    """Training rows, centred, with the eigenbasis of their covariance.

    Attributes:
        centred: float32 (N, D), rows minus their mean.
        mean: float32 (D,).
        labels: int64 (N,).
        n_classes: C.
        eigenvalues: float64 (R,), of the rows' covariance: all D, or those above 0 where there
            are fewer rows than columns.
        eigenvectors: float64 (D, R), one a column.
        offset: float32 (N, C), what is added to the logits as it is; or None.
        weights: float32 (N,), what each row counts, of mean 1; None where all count alike.
        soft: float32 (N, C), what each row counts for each class; None where the label says it.
    """

    centred: torch.Tensor
    mean: torch.Tensor
    labels: torch.Tensor
    n_classes: int
    eigenvalues: torch.Tensor
    eigenvectors: torch.Tensor
    offset: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    soft: torch.Tensor | None = None


@dataclass(frozen=True)
class LogisticSolution:
    """Where the solver ended.

    Attributes:
        weight: float32 (C, D).
        bias: float32 (C,).
        objective: Mean cross-entropy plus penalty.
        n_iterations: Steps of L-BFGS.
        n_evaluations: Passes over the rows.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    objective: float
    n_iterations: int
    n_evaluations: int


def make_problem(
    X: FloatArray,
    y: NDArray[np.int64],
    *,
    n_classes: int,
    offset: NDArray[np.float32] | None = None,
    weights: NDArray[np.float32] | None = None,
    soft_labels: NDArray[np.float32] | None = None,
) -> LogisticProblem:
    """Centre the rows and take the eigenbasis of their covariance, once for many penalties.

    Args:
        X: (N, D).
        y: int64 (N,), 0..C-1.
        n_classes: C.
        offset: float32 (N, C), logits that the weights are added to.
        weights: float32 (N,), what each row counts, of mean 1; all alike without it.
        soft_labels: float32 (N, C), what each row counts for each class, 1 in sum; what ``y``
            says without it.
    """
    rows = torch.tensor(np.asarray(X, dtype=np.float32))
    mean = rows.mean(dim=0)
    centred = rows.sub_(mean)
    eigenvalues, eigenvectors = _eigenbasis(centred)
    return LogisticProblem(
        centred,
        mean,
        torch.from_numpy(y),
        n_classes,
        eigenvalues,
        eigenvectors,
        None if offset is None else torch.from_numpy(offset),
        None if weights is None else torch.from_numpy(weights),
        None if soft_labels is None else torch.from_numpy(soft_labels),
    )


def _eigenbasis(centred: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eigenvalues and eigenvectors of a covariance; of few rows from their own products."""
    n, dim = centred.shape
    if n >= dim:
        values, vectors = torch.linalg.eigh(squared(centred).double() / n)
        return values.clamp_min(0), vectors
    rows = centred.double()
    values, vectors = torch.linalg.eigh(rows @ rows.T / n)
    kept = values > _NOTHING * values[-1]
    values = values[kept]
    return values, rows.T @ (vectors[:, kept] / (n * values).sqrt())


def solve(
    problem: LogisticProblem,
    penalty: NDArray[np.float64],
    *,
    anchor: NDArray[np.float32],
    start: LogisticSolution | None = None,
) -> LogisticSolution:
    """Minimise mean cross-entropy + 1/2 sum_c penalty_c |weight_c - anchor_c|^2.

    The mean is weighted where the rows of the problem are; the bias is free. With a penalty of
    1 / (C N) and an anchor of zero this is scikit-learn's objective for its own ``C``.

    Args:
        problem: The rows.
        penalty: float64 (C,), above 0.
        anchor: float32 (C, D), where the penalty is zero, and the starting point.
        start: A solution to start from instead, such as that of a neighbouring penalty.

    Returns:
        The minimum; its objective is within about 1e-5 of the exact one.
    """
    from scipy.optimize import minimize

    objective = _Objective(problem, penalty, anchor)
    # SciPy's threads, woken for products of single vectors, take the cores from torch's.
    with one_blas_thread():
        result = minimize(
            objective,
            objective.coordinates(start),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": _MAX_ITERATIONS,
                "maxcor": _HISTORY,
                "ftol": _RELATIVE_TOLERANCE,
                "gtol": 0.0,
            },
        )
    weight, bias = objective.solution(result.x)
    return LogisticSolution(weight, bias, float(result.fun), int(result.nit), int(result.nfev))


def _symmetric(basis: torch.Tensor, values: torch.Tensor, rest: float) -> torch.Tensor:
    """Return float32 (D, D) with such eigenvalues; ``rest`` along what no eigenvector spans."""
    if basis.shape[1] == len(basis):
        return ((basis * values) @ basis.T).float()
    found = (basis * (values - rest)) @ basis.T
    found.diagonal().add_(rest)
    return found.float()


class _Objective:
    """Value and gradient in coordinates (U, v) with weight = anchor + U P, bias = k^(-1/2) v.

    P = (k S + p I)^(-1/2), with S the rows' covariance, p the mean penalty and k = (C-1)/C^2, the
    variance of a class indicator under uniform probabilities. k S + p I is the objective's
    Hessian there for the weight of one class, k that for its bias, so that in (U, v) it is near
    the identity: Boehning's bound (Ann. Inst. Stat. Math. 44, 1992) used as a preconditioner.
    """

    def __init__(
        self, problem: LogisticProblem, penalty: NDArray[np.float64], anchor: NDArray[np.float32]
    ) -> None:
        n_rows, n_classes = len(problem.centred), problem.n_classes
        curvature = (n_classes - 1) / n_classes**2
        least = float(penalty.mean())
        spectrum = curvature * problem.eigenvalues + least
        self._problem = problem
        self._penalty = torch.from_numpy(penalty)[:, None]
        self._anchor = torch.from_numpy(anchor)
        self._precondition = _symmetric(problem.eigenvectors, spectrum.rsqrt(), least**-0.5)
        self._undo = _symmetric(problem.eigenvectors, spectrum.sqrt(), least**0.5)
        self._bias_unit = curvature**-0.5
        self._logits = torch.empty(n_rows, n_classes)
        self._row_numbers = torch.arange(n_rows)

    def coordinates(self, start: LogisticSolution | None) -> NDArray[np.float64]:
        """Map a solution, or the anchor with a bias of zero, to a flat float64 vector."""
        n_classes, dim = self._anchor.shape
        point = torch.zeros(n_classes, dim + 1, dtype=torch.float64)
        weight = self._anchor if start is None else torch.from_numpy(start.weight)
        bias = torch.zeros(n_classes) if start is None else torch.from_numpy(start.bias)
        point[:, :dim] = (weight - self._anchor) @ self._undo
        point[:, dim] = (bias + weight @ self._problem.mean) / self._bias_unit
        return point.numpy().ravel()

    def solution(self, point: NDArray[np.float64]) -> tuple[NDArray[np.float32], ...]:
        """Map a flat vector back to weight and bias over the rows as they came."""
        weight, _, bias = self._weight(point)
        return weight.numpy(), (bias - weight @ self._problem.mean).numpy()

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        problem, logits = self._problem, self._logits
        weight, deviation, bias = self._weight(point)
        torch.addmm(bias, problem.centred, weight.T, out=logits)
        if problem.offset is not None:
            logits += problem.offset
        true_logits = (
            logits[self._row_numbers, problem.labels]
            if problem.soft is None
            else (logits * problem.soft).sum(dim=1)
        )
        normaliser = torch.logsumexp(logits, dim=1)
        losses = normaliser - true_logits
        if problem.weights is not None:
            losses = losses * problem.weights
        value = losses.double().mean()
        value += 0.5 * (self._penalty * deviation.double().square()).sum()
        residual = flush_tiny(logits.sub_(normaliser[:, None]).exp_())
        if problem.soft is None:
            residual[self._row_numbers, problem.labels] -= 1
        else:
            residual -= problem.soft
        if problem.weights is not None:
            residual *= problem.weights[:, None]
        gradient = torch.empty(len(weight), weight.shape[1] + 1, dtype=torch.float64)
        raw = summed_products(residual, problem.centred) / len(residual)
        raw += self._penalty.float() * deviation
        gradient[:, :-1] = raw @ self._precondition
        gradient[:, -1] = self._bias_unit * residual.double().sum(dim=0) / len(residual)
        return float(value), gradient.numpy().ravel()

    def _weight(self, point: NDArray[np.float64]) -> tuple[torch.Tensor, ...]:
        n_classes, dim = self._anchor.shape
        table = torch.from_numpy(point).view(n_classes, dim + 1)
        deviation = table[:, :dim].float() @ self._precondition
        return self._anchor + deviation, deviation, self._bias_unit * table[:, dim].float()
