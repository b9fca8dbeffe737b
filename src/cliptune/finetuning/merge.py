"""Mixtures of two sets of weights, and the choice among them.

It knows nothing about models. WiSE-FT, Wortsman et al., arXiv:2109.01903, eq. 1: every weight
is ``(1 - alpha) * start + alpha * end``; between a model and its fine-tuned form this keeps much
of what the first knew, and is often better than both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cliptune.errors import CheckpointError
from cliptune.finetuning.records import AlphaPoint

__all__ = ["ALPHAS", "choose_alpha", "interpolate"]

ALPHAS = tuple(step / 10 for step in range(11))


def interpolate(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """Mix two sets of weights.

    Args:
        start: By name.
        end: The same names and shapes.
        alpha: Share of ``end``; 0 and 1 give exactly ``start`` and ``end``.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    if start.keys() != end.keys():
        odd = sorted(start.keys() ^ end.keys())[0]
        raise CheckpointError(f"weights to mix differ in their names, such as {odd!r}")
    for name, tensor in start.items():
        if tensor.shape != end[name].shape:
            shapes = f"{tuple(tensor.shape)} and {tuple(end[name].shape)}"
            raise CheckpointError(f"weights to mix differ in the shape of {name!r}: {shapes}")
    return {name: _mix(tensor, end[name], alpha) for name, tensor in start.items()}


def _mix(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    # torch.lerp is exact at both ends for every float; counts (whole numbers) are not mixed.
    return torch.lerp(start, end, alpha) if start.is_floating_point() else end


def choose_alpha(curve: Sequence[AlphaPoint]) -> AlphaPoint:
    """Return the point with the best validation.

    Best is the highest accuracy, then the smallest log loss, then the smallest share of
    trained weights: where validation cannot tell, the start is kept.
    """
    return max(curve, key=lambda p: (p.val.accuracy, -p.val.log_loss, -p.alpha))
