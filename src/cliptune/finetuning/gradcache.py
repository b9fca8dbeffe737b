"""One backward pass over a batch that does not fit, with all its negatives.

It knows nothing about which loss or which towers: only that a loss follows from rows, and rows
from inputs. Gao et al., arXiv:2101.06983: the rows are computed without their graph, the loss
gives the gradient of every row, and each part of the batch is then encoded again with its graph
and that gradient. The result is the gradient of the whole batch, at the cost of one more
forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Side", "backward_in_parts"]


@dataclass(frozen=True)
class Side:
    """One tower's share of a step.

    Attributes:
        parts: Inputs, each small enough for one pass with its graph.
        encode: From a part to its rows; must give the same rows twice (no dropout).
        trains: Whether gradients flow into the tower.
    """

    parts: Sequence[Tensor]
    encode: Callable[[Tensor], Tensor]
    trains: bool


def backward_in_parts(
    sides: Sequence[Side],
    loss_of_rows: Callable[..., Tensor],
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
) -> Tensor:
    """Compute a loss over all rows and add its gradients to the parameters.

    A side of one part keeps its graph, so a batch that fits is done in one ordinary pass.

    Args:
        sides: Towers; their rows are the arguments of the loss, in this order.
        loss_of_rows: From all rows of each side to a scalar.
        backward: Runs the backward pass of a scalar (a gradient scaler's, for instance).

    Returns:
        The loss, detached.
    """
    rows = [_encode_all(side) for side in sides]
    loss = loss_of_rows(*rows)
    if loss.requires_grad:
        backward(loss)
    for side, cached in zip(sides, rows, strict=True):
        if side.trains and len(side.parts) > 1:
            assert cached.grad is not None, "the loss depends on the rows of every side"
            _backward_parts(side, cached.grad)
    return loss.detach()


def _encode_all(side: Side) -> Tensor:
    if len(side.parts) == 1:
        with torch.set_grad_enabled(side.trains):
            return side.encode(side.parts[0])
    with torch.no_grad():
        rows = torch.cat([side.encode(part) for part in side.parts])
    return rows.requires_grad_(side.trains)


def _backward_parts(side: Side, gradient: Tensor) -> None:
    start = 0
    for part in side.parts:
        rows = side.encode(part)
        rows.backward(gradient[start : start + len(rows)])  # type: ignore[no-untyped-call]  # torch
        start += len(rows)
