"""Crops of pictures as a tower's batch, and their rows as one row a picture.

It knows tensors and how ``Preprocess`` packs them, and no model.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from cliptune.encoders.picture_crops import cuts_of, has_mirrors
from cliptune.encoders.preprocess import Preprocess

__all__ = ["average_rows", "spread_crops"]


def spread_crops(images: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """Lay out every crop as an image of its own.

    Args:
        images: (B, *preprocess.shape), normalised or not.
        preprocess: Says which crops there are.

    Returns:
        (B * crops, 3, H, W): all crops of the first picture, then those of the second.
    """
    n = cuts_of(preprocess.crops)
    height, width = preprocess.size
    if n > 1:
        images = images.reshape(-1, 3, n, height, width).transpose(1, 2)
    if not has_mirrors(preprocess.crops):
        return images.reshape(-1, 3, height, width) if n > 1 else images
    crops = images.reshape(-1, n, 3, height, width)
    both = torch.cat([crops, crops.flip(-1)], dim=1)
    return both.reshape(-1, 3, height, width)


def average_rows(rows: torch.Tensor, crops: int) -> torch.Tensor:
    """Average the crops of each picture, each brought to norm 1 before.

    Args:
        rows: (B * crops, D), in the order of ``spread_crops``.
        crops: How many of each picture; one changes nothing.

    Returns:
        (B, D), not of unit length; float32 where there are several crops.
    """
    if crops == 1:
        return rows
    units = F.normalize(rows.float(), dim=-1)
    return units.reshape(-1, crops, rows.shape[-1]).mean(1)
