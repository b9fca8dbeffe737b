"""The training of one stack: batches, schedule, early stopping and the marks of divergence.

It knows nothing about any head: a ``Stack`` brings the parameters of M heads, their gradients
and their logits. Nor does it know which core moves which heads.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.arrays import FloatArray, row_chunks
from cliptune.heads.contract import FitData
from cliptune.heads.cores import Cores, even_slices
from cliptune.heads.optimizers import Optimizer, Parameters, make_optimizer
from cliptune.heads.options import EpochRecord, Member, TrainingPlan
from cliptune.heads.products import rounded_factors

__all__ = ["Stack", "StackRun", "Trained", "read_rows"]

# With one batch an epoch, the loss of epoch 1 is that of epoch 0 but for rounding.
_ROUNDING = 1e-4  # nats
# Of the rows that all shares see before the next are read: 32 batches of 256 x 512.
_BATCHES_BYTES = 16 << 20


class Stack(Protocol):
    """M heads of one kind, their parameters stacked along a first axis."""

    def start(self, seed: int) -> Parameters:
        """Return one head's parameters before training, each of shape (1, ...)."""
        ...

    def accumulate(
        self,
        parameters: Parameters,
        X: torch.Tensor,
        y: torch.Tensor,
        into: Parameters,
        *,
        beta: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Set ``into`` to beta * into + gradient of the batch's mean cross-entropy.

        Args:
            parameters: Each (M, ...).
            X: float32 batch (B, ...), shared by all heads.
            y: int64 (B,).
            into: Buffers of the parameters' shapes.
            beta: Factor on what is in the buffers.

        Returns:
            Sum of the losses and number of right answers before the step, each (M,).
        """
        ...

    def logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return (M, n, C) for rows (n, ...)."""
        ...

    def bytes_per_row(self) -> int:
        """Return the bytes that one row of a batch takes in one head while it is worked on."""
        ...

    def heads_at_once(self, n_rows: int) -> int | None:
        """Return how many heads ``accumulate`` is best given for a batch; None: as many as are."""
        ...


@dataclass(frozen=True)
class Trained:
    """One head of a stack after training.

    Attributes:
        index: Its place among the members that were asked for.
        member: Its rate, weight decay and seed.
        parameters: float32 arrays of one head; always finite.
        history: One record an epoch, epoch 0 first; a loss that was not finite stands as nan.
        best_epoch: The epoch whose parameters these are.
        diverged: A loss was not finite, or the last training loss is above that of epoch 0.
        seconds: Time of its stack divided by the number of heads in it.
    """

    index: int
    member: Member
    parameters: dict[str, NDArray[np.float32]]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    diverged: bool
    seconds: float


def read_rows(X: FloatArray, rows: NDArray[np.int64] | slice) -> torch.Tensor:
    """Return rows of an array, memory-mapped or not, of any float width, as a float32 tensor."""
    return torch.from_numpy(np.require(X[rows], np.float32, ["C", "W"]))


class StackRun:
    """The state of one stack while it trains; every tensor's first axis counts its M heads."""

    def __init__(
        self, stack: Stack, data: FitData, members: list[tuple[int, Member]], plan: TrainingPlan
    ) -> None:
        n = len(members)
        self._stack, self._data, self._members, self._plan = stack, data, members, plan
        self._seed = members[0][1].seed
        start = stack.start(self._seed)
        self._parameters = {k: v.expand(n, *v.shape[1:]).clone() for k, v in start.items()}
        self._start = start
        self._best = _clone(self._parameters) if data.validation else self._parameters
        self._best_loss = torch.full((n,), torch.inf, dtype=torch.float64)
        self._best_epoch = torch.zeros(n, dtype=torch.int64)
        self._active = torch.ones(n, dtype=torch.bool)
        self._diverged = torch.zeros(n, dtype=torch.bool)
        self._histories: list[list[EpochRecord]] = [[] for _ in members]
        self._shares = _cut_into_shares(
            self._parameters,
            start,
            [member for _, member in members],
            plan,
            stack.heads_at_once(min(plan.batch_size, len(data.X))),
        )
        self._cores = Cores(len(self._shares))
        row_bytes = 4 * math.prod(data.X.shape[1:])
        self._batches_at_once = max(1, _BATCHES_BYTES // (plan.batch_size * row_bytes))

    def train(self) -> list[Trained]:
        """Run all epochs, or as many as a head of the stack is still active in."""
        with self._cores, rounded_factors(self._plan.products):
            return self._train()

    def _train(self) -> list[Trained]:
        began = time.perf_counter()
        n_rows, size = len(self._data.X), self._plan.batch_size
        n_steps = self._plan.epochs * math.ceil(n_rows / size)
        n_done = 0
        self._end_epoch(0, self._evaluate(self._start, self._data.X, self._data.y))
        for epoch in range(1, self._plan.epochs + 1):
            order = np.random.default_rng([self._seed, epoch]).permutation(n_rows)
            sums = torch.zeros(2, len(self._members), dtype=torch.float64)
            batches = [order[first : first + size] for first in range(0, n_rows, size)]
            for first in range(0, len(batches), self._batches_at_once):
                some = batches[first : first + self._batches_at_once]
                sums += self._move(some, [(n_done + i) / n_steps for i in range(len(some))])
                n_done += len(some)
            self._end_epoch(epoch, sums / n_rows)
            if not self._active.any():
                break
        seconds = (time.perf_counter() - began) / len(self._members)
        return [self._result(place, seconds) for place in range(len(self._members))]

    def _move(self, batches: list[NDArray[np.int64]], progress: list[float]) -> torch.Tensor:
        """Take a few steps, all of one share before the next: its heads stay at hand meanwhile."""
        read = [
            (read_rows(self._data.X, rows), torch.from_numpy(self._data.y[rows]))
            for rows in batches
        ]
        falling = self._plan.schedule == "cosine"
        factors = [0.5 * (1 + math.cos(math.pi * p)) if falling else 1.0 for p in progress]

        def move(share: _Share) -> torch.Tensor:
            optimizer, active = share.optimizer, self._active[share.heads]
            total = torch.zeros(2, len(active), dtype=torch.float64)
            for (X, y), factor in zip(read, factors, strict=True):
                sums = self._stack.accumulate(
                    share.parameters, X, y, optimizer.buffers, beta=optimizer.beta
                )
                optimizer.step(factor * active)
                total += torch.stack(sums)
            return total

        return torch.cat(self._cores.map(move, self._shares), dim=1)

    def _end_epoch(self, epoch: int, train: torch.Tensor) -> None:
        """Record an epoch, keep what is best, and set aside what diverged or stopped.

        Args:
            epoch: Its number.
            train: Loss and accuracy, (2, M) or (2, 1).
        """
        n = len(self._members)
        parts = [train]
        if self._data.validation is not None:
            parameters = self._parameters if epoch else self._start  # where all are one
            parts.append(self._evaluate(parameters, *self._data.validation))
        scores = torch.cat([part.expand(2, n) for part in parts])
        finite = scores.isfinite().all(dim=0) & _finite_heads(self._parameters)
        for place in torch.nonzero(self._active).flatten().tolist():
            self._histories[place].append(EpochRecord(epoch, *scores[:, place].tolist()))
        failed = self._active & ~finite
        self._diverged |= failed
        self._active &= finite
        self._put_back(failed)
        if self._data.validation is None:
            self._best_epoch[self._active] = epoch
        else:
            self._keep_best(epoch, scores[2])

    def _put_back(self, failed: torch.Tensor) -> None:
        """Set heads that are no longer finite to their start, where arithmetic is sound."""
        if failed.any():
            for name, value in self._parameters.items():
                value[failed] = self._start[name]
            for share in self._shares:
                share.optimizer.forget(failed[share.heads])
            self._best_epoch[failed & (self._best_loss == torch.inf)] = 0

    def _keep_best(self, epoch: int, val_loss: torch.Tensor) -> None:
        better = self._active & (val_loss < self._best_loss)
        self._best_loss[better] = val_loss[better]
        self._best_epoch[better] = epoch
        for name, value in self._best.items():
            value[better] = self._parameters[name][better]
        if self._plan.patience is not None:
            self._active &= epoch - self._best_epoch < self._plan.patience

    def _evaluate(
        self, parameters: Parameters, X: FloatArray, y: NDArray[np.int64]
    ) -> torch.Tensor:
        """Return mean loss and accuracy over rows, float64 (2, M), a share of the heads a core."""
        n_heads = len(next(iter(parameters.values())))
        shares = [share.heads for share in self._shares] if n_heads > 1 else [slice(0, 1)]

        def score(heads: slice) -> torch.Tensor:
            return self._score({name: v[heads] for name, v in parameters.items()}, X, y)

        return torch.cat(self._cores.map(score, shares), dim=1)

    def _score(self, parameters: Parameters, X: FloatArray, y: NDArray[np.int64]) -> torch.Tensor:
        n_heads = len(next(iter(parameters.values())))
        sums = torch.zeros(2, n_heads, dtype=torch.float64)
        log_n_classes = math.log(self._data.n_classes)
        for part in row_chunks(len(X), bytes_per_row=n_heads * self._stack.bytes_per_row()):
            logits = self._stack.logits(parameters, read_rows(X, part))
            true = torch.from_numpy(y[part]).expand(n_heads, -1)
            true_logits = logits.gather(2, true[..., None]).squeeze(2)
            losses = logits.logsumexp(dim=2) - true_logits
            # Below a uniform answer's loss, so that all-equal logits are not called right.
            correct = (true_logits >= logits.amax(dim=2)) & (losses < log_n_classes - 1e-6)
            sums[0] += losses.double().sum(dim=1)
            sums[1] += correct.sum(dim=1)
        return sums / len(X)

    def _result(self, place: int, seconds: float) -> Trained:
        index, member = self._members[place]
        history = self._histories[place]
        above_start = not history[-1].train_loss <= history[0].train_loss + _ROUNDING
        return Trained(
            index=index,
            member=member,
            parameters={k: v[place].numpy().copy() for k, v in self._best.items()},
            history=tuple(history),
            best_epoch=int(self._best_epoch[place]),
            diverged=bool(self._diverged[place]) or above_start,
            seconds=seconds,
        )


@dataclass(frozen=True)
class _Share:
    """Heads of a stack that are moved together: their gradient and step while it is at hand."""

    heads: slice
    parameters: Parameters  # views of the stack's
    optimizer: Optimizer


def _cut_into_shares(
    parameters: Parameters,
    start: Parameters,
    members: list[Member],
    plan: TrainingPlan,
    at_once: int | None,
) -> list[_Share]:
    shares = []
    for heads in even_slices(len(members), at_once):
        views = {name: value[heads] for name, value in parameters.items()}
        shares.append(_Share(heads, views, make_optimizer(views, start, members[heads], plan)))
    return shares


def _clone(parameters: Parameters) -> Parameters:
    return {name: value.clone() for name, value in parameters.items()}


def _finite_heads(parameters: Parameters) -> torch.Tensor:
    """Return which heads hold only finite numbers, bool (M,)."""
    sums = [value.flatten(1).abs().amax(dim=1) for value in parameters.values()]
    return torch.stack(sums).isfinite().all(dim=0)
