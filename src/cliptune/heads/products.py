"""What a step is made of: how products are taken and rounded, and the softmax residual.

It knows nothing about heads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

__all__ = ["flush_tiny", "rounded_factors", "softmax_residual", "squared", "summed_products"]

# Residuals this small change nothing, but products of theirs are subnormal floats, on which
# processors multiply up to sixty times slower. A single too confident head of a stack has many.
_TINY = 1e-15

_BLOCK = 2048  # rows; a tall and narrow factor in such blocks is multiplied up to twice as fast
_NARROW = 48  # columns


@contextlib.contextmanager
def rounded_factors(kind: Literal["fp32", "bf16"]) -> Iterator[None]:
    """Multiply in ``bf16``: torch's products of float32 round their factors to bfloat16, inside.

    Sums and results stay float32, and nothing else changes. A processor without such
    instructions goes on in fp32. The setting is the process's; it comes back at the end.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if kind == "bf16" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def softmax_residual(logits: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace logits (..., C) by softmax - onehot, the gradient of the cross-entropy.

    Args:
        logits: float32; changed in place.
        y: int64, labels that broadcast to ``logits.shape[:-1]``.

    Returns:
        Losses and whether the answer is right, each of shape ``logits.shape[:-1]``. A
        probability below the smallest float counts as that float: a loss of 87 at most.
    """
    true = y.expand(logits.shape[:-1])[..., None]
    torch.softmax(logits, dim=-1, out=logits)
    probability = logits.gather(-1, true)
    # Above uniform, so that all-equal logits, the start without texts, are not called right.
    correct = (probability >= logits.amax(dim=-1, keepdim=True)) & (
        probability > 1 / logits.shape[-1] + 1e-6
    )
    losses = -probability.clamp_min(torch.finfo(torch.float32).tiny).log()
    flush_tiny(logits).scatter_add_(-1, true, torch.full_like(probability, -1))
    return losses[..., 0], correct[..., 0]


def flush_tiny(probabilities: torch.Tensor) -> torch.Tensor:
    """Set probabilities below 1e-15 to zero, in place, and return them."""
    return torch.threshold_(probabilities, _TINY, 0.0)


def summed_products(narrow: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return narrow.T @ rows, float32 (k, m), summed over n rows.

    Args:
        narrow: float32 (n, k).
        rows: float32 (n, m).
    """
    if len(rows) <= _BLOCK or narrow.shape[1] >= _NARROW:
        return narrow.T @ rows
    total = torch.zeros(narrow.shape[1], rows.shape[1])
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        total.addmm_(narrow[part].T, rows[part])
    return total


def squared(rows: torch.Tensor) -> torch.Tensor:
    """Return rows.T @ rows, float32 (m, m); NumPy computes one half of it, torch would both."""
    values = rows.numpy()
    return torch.from_numpy(values.T @ values)
