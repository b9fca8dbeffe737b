"""SGD with momentum and AdamW over stacked parameters, each head with its own rate and decay.

It knows nothing about losses: gradients arrive in its buffers. ``torch.optim`` keeps one rate
for a whole tensor, which is why this is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from cliptune.heads.options import Member, TrainingPlan

__all__ = ["Optimizer", "Parameters", "make_optimizer"]

Parameters = dict[str, torch.Tensor]
# A buffer that only decays would reach subnormal floats, which are slow, after some 800 steps.
_FLUSH_EVERY, _TINY = 100, 1e-25
_BETA_2, _EPSILON = 0.999, 1e-8  # as in arXiv:1711.05101, algorithm 2


class Optimizer(Protocol):
    """What a step is made of; every tensor's first axis counts the heads."""

    buffers: Parameters
    beta: float

    def step(self, factors: torch.Tensor) -> None:
        """Move the parameters in place; ``factors`` (M,) multiply the rates, 0 stands still."""
        ...

    def forget(self, heads: torch.Tensor) -> None:
        """Empty the memory of some heads, given as bool (M,)."""
        ...


def make_optimizer(
    parameters: Parameters, start: Parameters, members: Sequence[Member], plan: TrainingPlan
) -> Optimizer:
    """Make the plan's optimiser for parameters (M, ...) that decay towards ``start`` (1, ...)."""
    rates = torch.tensor([member.lr for member in members])
    decays = torch.tensor([member.weight_decay for member in members])
    pull = _Pull(parameters, start, decays)
    if plan.optimizer == "sgd":
        return _Sgd(parameters, rates, pull, plan.momentum)
    return _AdamW(parameters, rates, pull, plan.momentum)


class _Pull:
    """Decoupled weight decay towards the start (arXiv:1711.05101; the target, arXiv:1802.01483)."""

    def __init__(self, parameters: Parameters, start: Parameters, decays: torch.Tensor) -> None:
        self._parameters, self._start, self._decays = parameters, start, decays
        self._idle = not bool(decays.any())

    def __call__(self, rates: torch.Tensor) -> None:
        if not self._idle:
            for name, value in self._parameters.items():
                value.lerp_(self._start[name], _over_axes(rates * self._decays, value))


class _Sgd:
    """w <- w - rate * m, m <- momentum * m + gradient: the stack adds the gradient itself."""

    def __init__(
        self, parameters: Parameters, rates: torch.Tensor, pull: _Pull, momentum: float
    ) -> None:
        self._parameters, self._rates, self._pull = parameters, rates, pull
        self.buffers = _zeros(parameters)
        self.beta, self._n_steps = momentum, 0

    def step(self, factors: torch.Tensor) -> None:
        self._n_steps += 1
        _flush(self._n_steps, self.buffers)
        rates = self._rates * factors
        self._pull(rates)
        for name, value in self._parameters.items():
            value.addcmul_(self.buffers[name], _over_axes(rates, value), value=-1)

    def forget(self, heads: torch.Tensor) -> None:
        for buffer in self.buffers.values():
            buffer[heads] = 0


class _AdamW:
    """Adam with decoupled weight decay: arXiv:1711.05101, algorithm 2."""

    def __init__(
        self, parameters: Parameters, rates: torch.Tensor, pull: _Pull, beta_1: float
    ) -> None:
        self._parameters, self._rates, self._pull = parameters, rates, pull
        self.buffers = _zeros(parameters)
        self.beta = 0.0
        self._beta_1, self._n_steps = beta_1, 0
        self._first, self._second = _zeros(parameters), _zeros(parameters)

    def step(self, factors: torch.Tensor) -> None:
        self._n_steps += 1
        _flush(self._n_steps, self._first, self._second)
        rates = self._rates * factors
        self._pull(rates)
        correction_1 = 1 - self._beta_1**self._n_steps
        correction_2 = 1 - _BETA_2**self._n_steps
        for name, value in self._parameters.items():
            gradient, first, second = self.buffers[name], self._first[name], self._second[name]
            first.lerp_(gradient, 1 - self._beta_1)
            second.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
            direction = first / (second / correction_2).sqrt_().add_(_EPSILON)
            value.addcmul_(direction, _over_axes(rates, value), value=-1 / correction_1)

    def forget(self, heads: torch.Tensor) -> None:
        for buffers in (self.buffers, self._first, self._second):
            for buffer in buffers.values():
                buffer[heads] = 0


def _zeros(parameters: Parameters) -> Parameters:
    return {name: torch.zeros_like(value) for name, value in parameters.items()}


def _over_axes(per_head: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Shape (M,) so that it multiplies (M, ...)."""
    return per_head.view(-1, *[1] * (value.ndim - 1))


def _flush(n_steps: int, *buffers: Parameters) -> None:
    """Set what is too small to matter to zero, once in a while."""
    if n_steps % _FLUSH_EVERY == 0:
        for buffer in buffers:
            for name, value in buffer.items():
                buffer[name].copy_(torch.nn.functional.hardshrink(value, _TINY))
