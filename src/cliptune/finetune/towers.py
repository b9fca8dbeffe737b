"""Unit rows from a dual model while it trains: images normalised, texts at their true length.

It knows nothing about losses or steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cliptune.encoders.precision import choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.torch_encoder import DualModel, is_convolutional

__all__ = [
    "encode_images",
    "encode_tokens",
    "normalize_pixels",
    "precision_context",
    "training_precision",
]

_CAUSAL_PARTS = ("token_embedding", "positional_embedding", "transformer", "ln_final")


def normalize_pixels(pixels: Tensor, preprocess: Preprocess, *, channels_last: bool) -> Tensor:
    """Map bytes (B, 3, H, W) to the floats that the image tower takes."""
    mean = torch.tensor(preprocess.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocess.std, device=pixels.device).view(1, 3, 1, 1)
    images = pixels.float().div_(255).sub_(mean).div_(std)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def encode_images(model: nn.Module, images: Tensor) -> Tensor:
    """Embed normalised images (B, 3, H, W) as float32 unit rows (B, D), with gradients."""
    return normalize(cast(DualModel, model).encode_image(images).float(), dim=-1)


def encode_tokens(model: nn.Module, tokens: Tensor) -> Tensor:
    """Embed token ids (T, L) as float32 unit rows (T, D), with gradients.

    A causal text tower of open_clip's layout is run on the columns up to the last end mark
    only: no position sees a later one, so what stands behind it changes neither the result nor
    a gradient. open_clip's own mask and positions are fixed at the full length.

    Args:
        model: Follows ``DualModel``.
        tokens: int64 on the host: its longest row must be known before the work starts.
    """
    device = cast(DualModel, model).logit_scale.device
    tower = _causal_tower(model)
    if tower is None:
        rows = cast(DualModel, model).encode_text(tokens.to(device))
    else:
        rows = _encode_cut(tower, tokens, device)
    return normalize(rows.float(), dim=-1)


def precision_context(device: str, precision: str) -> torch.autocast:
    """Return the autocast of a precision; the weights themselves stay float32."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def training_precision(requested: str, device: str, model: nn.Module) -> str:
    """Choose what the towers compute in; weights and their updates are float32 in any case.

    As ``choose_precision``, except that ``auto`` also takes bf16 on a CPU that multiplies in it
    natively: training keeps float32 weights, so that nothing is lost by it but time gained.
    """
    convolutional = is_convolutional(model)
    if requested == "auto" and device == "cpu" and not convolutional and _cpu_has_bf16():
        return "bf16"
    return choose_precision(requested, device, convolutional=convolutional).precision


def _cpu_has_bf16() -> bool:
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _causal_tower(model: nn.Module) -> nn.Module | None:
    """Find open_clip's causal text tower, if its embedding is read at the end mark."""
    for module in model.modules():
        is_tower = all(hasattr(module, part) for part in _CAUSAL_PARTS)
        if is_tower and getattr(module, "attn_mask", None) is not None:
            pool = getattr(module, "text_pool_type", getattr(module, "pool_type", ""))
            plain = getattr(module, "cls_emb", None) is None
            unpadded = not getattr(module, "use_pad_mask", False)
            return module if pool in ("argmax", "eos") and plain and unpadded else None
    return None


def _encode_cut(tower: nn.Module, tokens: Tensor, device: torch.device) -> Tensor:
    ends = _end_positions(tower, tokens)
    length = int(ends.max()) + 1
    # Modules give Any-typed attributes: their kinds were established by _causal_tower.
    embed = cast(Callable[[Tensor], Tensor], tower.token_embedding)
    transformer = cast(Callable[..., Tensor], tower.transformer)
    norm = cast(Callable[[Tensor], Tensor], tower.ln_final)
    positions, mask = cast(Tensor, tower.positional_embedding), cast(Tensor, tower.attn_mask)
    hidden = embed(tokens[:, :length].to(device)) + positions[:length]
    hidden = transformer(hidden, attn_mask=mask[:length, :length])
    rows = torch.arange(len(tokens), device=device)
    pooled = norm(hidden[rows, ends.to(device)])
    projection = getattr(tower, "text_projection", None)
    if projection is None:
        return pooled
    projected: Tensor = (
        projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
    )
    return projected


def _end_positions(tower: nn.Module, tokens: Tensor) -> Tensor:
    if getattr(tower, "text_pool_type", getattr(tower, "pool_type", "")) == "argmax":
        return tokens.argmax(dim=-1)
    end_id = int(getattr(tower, "text_eos_id", getattr(tower, "eos_id", 0)))
    return tokens.eq(end_id).int().argmax(dim=-1)
