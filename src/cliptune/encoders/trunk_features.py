"""An image's embedding and the features it is projected from, out of open_clip's image towers.

It knows the towers' layouts and nothing about weights, files or texts.

CLIP's own linear probe takes the image tower's features before the projection into the common
space (arXiv:2103.00020, section 3.2 and appendix A.3). For a ViT these are what it pools and
norms, for towers of timm what comes out of the trunk. The attention pooling of CLIP's ResNets
projects a weighted mean of the cells head by head; departing from the paper, which names no
layer for them, the plain mean over the cells of the last feature map stands for it here.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn

from cliptune.errors import NoTrunkError

__all__ = ["encode_with_trunk"]


def encode_with_trunk(tower: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the tower once and keep what it projects.

    Args:
        tower: The ``visual`` part of an open_clip model.
        images: Normalised floats (B, 3, H, W).

    Returns:
        What the tower itself gives, (B, D), and its pooled features before the projection,
        (B, E), both in the images' dtype and neither of unit length.

    Raises:
        NoTrunkError: The tower has no projection of its own behind its pooling.
    """
    if isinstance(tower, VisionTransformer):
        return _vit(tower, images)
    if isinstance(tower, ModifiedResNet):
        return _resnet(tower, images)
    if isinstance(tower, TimmModel):
        return _timm(tower, images)
    raise _refusal(f"an image tower of type {type(tower).__name__}")


# Any below: open_clip and timm carry no types.


def _vit(tower: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if tower.proj is None:
        raise _refusal("a ViT without a projection")
    pooled: torch.Tensor = tower._pool(tower.transformer(tower._embeds(images)))[0]
    if pooled.ndim != 2:
        raise _refusal("a ViT that does not pool")
    return pooled @ tower.proj, pooled


def _resnet(tower: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = tower.forward_intermediates(images, indices=1)
    return found["image_features"], found["image_intermediates"][-1].mean((2, 3))


def _timm(tower: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split where open_clip projects behind timm's trunk, or at the trunk's own last layer."""
    trunk, parts = tower.trunk, dict(tower.head._modules)
    last = next((name for name in ("proj", "mlp") if name in parts), None)
    if last is not None:
        projection = parts.pop(last)
        pooled: torch.Tensor = trunk(images)
        for part in parts.values():  # a pooling, dropout
            pooled = part(pooled)
        return projection(pooled), pooled
    projection = trunk.get_classifier()
    if parts or not isinstance(projection, nn.Linear):
        raise _refusal(f"{type(trunk).__name__}, which projects within its pooling or not at all")
    pooled = trunk.forward_head(trunk.forward_features(images), pre_logits=True)
    return projection(pooled), pooled


def _refusal(what: str) -> NoTrunkError:
    return NoTrunkError(f"no features before a projection from {what}; use --features embedding")
