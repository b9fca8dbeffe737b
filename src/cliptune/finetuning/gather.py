"""Rows that are spread over processes, brought together with correct gradients.

It knows nothing about losses or models; with one process it does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["average_gradients", "gather_rows"]


def gather_rows(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """Concatenate every process's rows, in the order of ranks; gradients flow to one's own.

    Every process then computes the same loss on all rows, so the derivative by its own rows is
    already complete and needs no further exchange. ``average_gradients`` divides by the number
    of processes, hence the factor on the way back: the average is then the exact gradient, for
    parameters before the gathering and for those after it (the logit scale) alike.

    Args:
        rows: (n, D), this process's rows.
        sizes: Number of rows of each process; one entry means there is nothing to gather.

    Returns:
        (sum of sizes, D).
    """
    if len(sizes) == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows, tuple(sizes))
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: tuple[int, ...]) -> Tensor:  # Any: torch's context
        ctx.sizes, ctx.rank = sizes, dist.get_rank()
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # Any: torch's context
        start = sum(ctx.sizes[: ctx.rank])
        own = gradients[0][start : start + ctx.sizes[ctx.rank]]
        return own * len(ctx.sizes), None


def average_gradients(parameters: Sequence[torch.nn.Parameter], n_processes: int) -> None:
    """Replace every gradient by its mean over the processes, in one exchange per data type.

    A parameter without a gradient counts as zero where another process has one (its share of
    the prompts may be empty here), and keeps none where no process has one.
    """
    if n_processes == 1:
        return
    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        return
    used = torch.tensor([p.grad is not None for p in trainable], dtype=torch.uint8)
    used = used.to(trainable[0].device)
    dist.all_reduce(used, op=dist.ReduceOp.MAX)
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for parameter, is_used in zip(trainable, used.tolist(), strict=True):
        if is_used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_type.values():
        _average(gradients, n_processes)


def _average(gradients: list[Tensor], n_processes: int) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= n_processes
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
