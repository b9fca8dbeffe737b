"""Gradients of stacked heads by automatic differentiation, for heads without a short formula.

It knows nothing about heads: the heads of a stack do not touch each other, so the gradient of
the sum of their losses is every head's own gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from cliptune.heads.optimizers import Parameters

__all__ = ["accumulate_by_autograd"]

_TINY = 1e-17  # of a gradient, which is a residual over the number of rows


def accumulate_by_autograd(
    forward: Callable[[Parameters, torch.Tensor], torch.Tensor],
    parameters: Parameters,
    X: torch.Tensor,
    y: torch.Tensor,
    into: Parameters,
    *,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what ``Stack.accumulate`` asks for, given logits (M, B, C) as a function."""
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    with torch.enable_grad():
        logits = forward(leaves, X)
        targets = y.expand(len(logits), -1)
        logits.register_hook(_flush)  # type: ignore[no-untyped-call]  # torch's own
        losses = cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        gradients = torch.autograd.grad(losses.mean(dim=1).sum(), list(leaves.values()))
    for name, gradient in zip(leaves, gradients, strict=True):
        into[name].mul_(beta).add_(gradient)
    correct = logits.detach().argmax(dim=2) == targets
    return losses.detach().sum(dim=1), correct.sum(dim=1)


def _flush(gradient: torch.Tensor) -> torch.Tensor:
    """Zero what is too small to matter and would be slow to multiply, as ``flush_tiny`` does."""
    return torch.nn.functional.hardshrink(gradient, _TINY)
