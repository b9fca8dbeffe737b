"""What a step is made of: batched products in fp32 or bfloat16, and the softmax residual.

It knows nothing about heads. Parameters and sums stay in fp32 either way.
"""

from __future__ import annotations

import torch

__all__ = ["add_product", "as_factor", "flush_tiny", "multiply", "softmax_residual"]

# Residuals this small change nothing, but products of theirs are subnormal floats, on which
# processors multiply up to sixty times slower. A single too confident head of a stack has many.
_TINY = 1e-15


def as_factor(values: torch.Tensor, *, bf16: bool) -> torch.Tensor:
    """Round what will be multiplied, perhaps more than once, to what it is multiplied in."""
    return values.bfloat16() if bf16 else values


def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left @ right, float32 (M, n, k), for batches (M, n, m) and (M, m, k) of factors."""
    return torch.bmm(left, right).float()


def add_product(
    into: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    *,
    beta: float,
    alpha: float = 1.0,
) -> None:
    """Set float32 ``into`` to beta * into + alpha * left @ right, for factors of one kind."""
    if left.dtype == torch.float32:
        torch.baddbmm(into, left, right, beta=beta, alpha=alpha, out=into)
    elif alpha == 1:
        torch.add(torch.bmm(left, right), into, alpha=beta, out=into)
    else:
        into.mul_(beta).add_(torch.bmm(left, right), alpha=alpha)


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
