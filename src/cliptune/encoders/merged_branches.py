"""Image towers whose parallel branches are merged into single convolutions, for inference.

MobileCLIP's FastViT blocks train several convolutions and batch norms side by side, whose sum is
one convolution (arXiv:2303.14189, section 3.2). The model itself keeps its branches: they are what
is trained, saved and fingerprinted. timm does the sum; nothing here knows a family.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn

__all__ = ["MergedTower", "has_branches", "merge_branches"]


def has_branches(model: nn.Module) -> bool:
    """Say whether some part of a model can be merged."""
    return any(hasattr(part, "reparameterize") for part in model.modules())


def merge_branches(model: nn.Module) -> nn.Module:
    """Return a model with a merged image tower and the same text tower; itself without branches.

    Args:
        model: Follows ``DualModel``, its image tower in ``visual``; it is not changed.
    """
    if not has_branches(model):
        return model
    from timm.utils import reparameterize_model

    # Modules give Any-typed attributes; timm has no types.
    tower = copy.deepcopy(cast(nn.Module, model.visual)).eval()
    dtype = next(tower.parameters()).dtype
    merged = copy.copy(model)
    merged._modules = dict(model._modules)  # its own table, so that the model keeps its tower
    merged.visual = reparameterize_model(tower.float(), inplace=True).to(dtype)
    return merged


class MergedTower:
    """``encode_image`` of a merged copy, which is made again when weights have changed.

    Args:
        model: As ``merge_branches`` takes it.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._merged: nn.Module | None = None
        self._stamp: tuple[tuple[int, int], ...] = ()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images (B, 3, H, W) to (B, D), up to rounding as the model does."""
        stamp = tuple((t.data_ptr(), t._version) for t in self._tensors())
        if self._merged is None or stamp != self._stamp:
            with torch.inference_mode(mode=False), torch.no_grad():
                self._merged, self._stamp = merge_branches(self._model), stamp
        embedded: torch.Tensor = self._merged.encode_image(images)  # type: ignore[operator]
        return embedded

    def _tensors(self) -> list[torch.Tensor]:
        tower = cast(nn.Module, self._model.visual)
        return [*tower.parameters(), *tower.buffers()]
