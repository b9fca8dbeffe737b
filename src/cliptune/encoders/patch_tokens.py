"""One vector per patch from open_clip's image towers, in the space of the embeddings.

It knows the towers' layouts and nothing about weights, files or texts.

A token's vector is what the tower's tail (norm, pooling, projection) makes of that token alone.
Pooling one token is the identity for an average and for the class token's place, and the value
and output projections for attention, as in MaskCLIP (arXiv:2112.01071); departing
from it, positions that the pooling adds stay in, so that an attention pooling of CLIP's ResNets
is, head by head, a convex combination of these values.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import AttentionalPooler, VisionTransformer
from torch import nn
from torch.nn import functional as F

from cliptune.errors import InputError

__all__ = ["encode_patches"]


def encode_patches(tower: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Embed each patch, or each cell of the last feature map.

    Args:
        tower: The ``visual`` part of an open_clip model.
        images: Normalised floats (B, 3, H, W).

    Returns:
        (B, N, D) in the images' dtype, row by row over the grid, not normalised; neither the
        class token nor registers are among the N.

    Raises:
        InputError: The tower's pooling has no meaning for a token alone.
    """
    if isinstance(tower, VisionTransformer):
        return _vit_patches(tower, images)
    if isinstance(tower, ModifiedResNet):
        return _resnet_cells(tower, images)
    if isinstance(tower, TimmModel):
        return _timm_patches(tower, images)
    raise InputError(
        f"no vectors per patch from an image tower of type {type(tower).__name__}; "
        f"use a method that needs only the image's embedding"
    )


# Any below: open_clip and timm carry no types.


def _vit_patches(tower: Any, images: torch.Tensor) -> torch.Tensor:
    found = tower.forward_intermediates(
        images, indices=1, intermediates_only=True, output_fmt="NLC"
    )
    patches: torch.Tensor = found["image_intermediates"][-1]
    if tower.attn_pool is not None:
        if tower.attn_pool_contrastive is not None:
            raise InputError(
                "no vectors per patch from a tower with two attention poolings; "
                "use a method that needs only the image's embedding"
            )
        patches = _pool_alone(tower.attn_pool, patches)
    normed: torch.Tensor = tower.ln_post(patches)
    return normed if tower.proj is None else normed @ tower.proj


def _pool_alone(pooler: AttentionalPooler, tokens: torch.Tensor) -> torch.Tensor:
    """Attend to each token alone: all weight is on it, whatever the query."""
    attention = pooler.attn
    if attention.in_proj_weight is None:
        weight = attention.v_proj_weight
    else:
        weight = attention.in_proj_weight.chunk(3)[2]
    values = F.linear(pooler.ln_k(tokens), weight, attention.in_proj_bias.chunk(3)[2])
    pooled: torch.Tensor = attention.out_proj(values)
    return pooled


def _resnet_cells(tower: Any, images: torch.Tensor) -> torch.Tensor:
    found = tower.forward_intermediates(images, indices=1, intermediates_only=True)
    cells = found["image_intermediates"][-1].flatten(2).transpose(1, 2)
    pooler: AttentionPool2d = tower.attnpool
    placed = cells + pooler.positional_embedding[1:].to(cells.dtype)
    embedded: torch.Tensor = pooler.c_proj(pooler.v_proj(placed))
    return embedded


def _timm_patches(tower: Any, images: torch.Tensor) -> torch.Tensor:
    trunk = tower.trunk
    attention = getattr(trunk, "attn_pool", None)
    if "pool" in tower.head._modules or getattr(attention, "pos_embed", None) is not None:
        raise InputError(
            f"no vectors per patch from {type(trunk).__name__} with this attention pooling, which "
            f"needs the whole grid; use a method that needs only the image's embedding"
        )
    features = trunk.forward_features(images)
    if features.ndim == 3:
        tokens = features[:, getattr(trunk, "num_prefix_tokens", 0) :]
        alone = tokens.flatten(0, 1).unsqueeze(1)
        alone = F.pad(alone, (0, 0, _prefix_before_pooling(trunk), 0))
    elif getattr(trunk, "output_fmt", "NCHW") == "NHWC":
        tokens = features.flatten(1, 2)
        alone = tokens.flatten(0, 1)[:, None, None, :]
    else:
        tokens = features.flatten(2).transpose(1, 2)
        alone = tokens.flatten(0, 1)[:, :, None, None]
    embedded: torch.Tensor = tower.head(trunk.forward_head(alone))
    return embedded.view(*tokens.shape[:2], -1)


def _prefix_before_pooling(trunk: Any) -> int:
    """Count the class and register tokens that a timm ViT cuts off before it pools."""
    if getattr(trunk, "attn_pool", None) is not None:
        cuts = not getattr(trunk, "pool_include_prefix", True)
    else:
        cuts = getattr(trunk, "global_pool", "") not in ("", "token")
    return int(trunk.num_prefix_tokens) if cuts else 0
