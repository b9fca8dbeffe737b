"""Batched matrix products in fp32 or with factors rounded to bfloat16.

It knows nothing about what is multiplied. Parameters and sums stay in fp32 either way.
"""

from __future__ import annotations

import torch

__all__ = ["add_product", "multiply"]


def multiply(left: torch.Tensor, right: torch.Tensor, *, bf16: bool) -> torch.Tensor:
    """Return left @ right, float32 (M, n, k), for batches (M, n, m) and (M, m, k)."""
    if bf16:
        return torch.bmm(left.bfloat16(), right.bfloat16()).float()
    return torch.bmm(left, right)


def add_product(
    into: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    *,
    beta: float,
    alpha: float = 1.0,
    bf16: bool,
) -> None:
    """Set ``into`` to beta * into + alpha * left @ right, without another array in fp32."""
    if bf16:
        into.mul_(beta).add_(torch.bmm(left.bfloat16(), right.bfloat16()), alpha=alpha)
    else:
        torch.baddbmm(into, left, right, beta=beta, alpha=alpha, out=into)
