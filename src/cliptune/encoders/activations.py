"""GELU in the place of QuickGELU, and the other way round.

It knows modules, and no family.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["swapped_activation"]

_QUICK = "QuickGELU"


class _QuickGelu(nn.Module):
    """x * sigmoid(1.702 x), as OpenAI's weights were trained."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


@contextmanager
def swapped_activation(model: nn.Module) -> Iterator[str]:
    """Put the other of both activations into a model within the block.

    Yields:
        What it has now, or an empty text where it has neither.
    """
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if _is_gelu(child)
    ]
    quick = any(_QUICK in type(child).__name__ for _, _, child in places)
    for parent, name, _ in places:
        setattr(parent, name, nn.GELU() if quick else _QuickGelu())
    try:
        yield ("GELU" if quick else _QUICK) if places else ""
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)


def _is_gelu(module: nn.Module) -> bool:
    kind = type(module).__name__
    return isinstance(module, nn.GELU) or kind.startswith((_QUICK, "GELUActivation"))
