"""Unit rows from a dual model while it trains: images normalised, texts at their true length.

It knows nothing about losses or steps.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cliptune.encoders.causal_text import encode_cut_text, find_text_end
from cliptune.encoders.precision import choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.torch_encoder import DualModel, is_convolutional

__all__ = [
    "encode_images",
    "encode_tokens",
    "normalize_pixels",
    "precision_context",
    "to_device",
    "training_precision",
]


def normalize_pixels(pixels: Tensor, preprocess: Preprocess, *, channels_last: bool) -> Tensor:
    """Map bytes (B, 3, H, W) to the floats that the image tower takes."""
    mean = torch.tensor(preprocess.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocess.std, device=pixels.device).view(1, 3, 1, 1)
    images = pixels.float().div_(255).sub_(mean).div_(std)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def to_device(pixels: Tensor, device: str) -> Tensor:
    """Copy bytes from the host; a GPU fetches them itself, while the host goes on."""
    if not device.startswith("cuda"):
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


def encode_images(model: nn.Module, images: Tensor) -> Tensor:
    """Embed normalised images (B, 3, H, W) as float32 unit rows (B, D), with gradients."""
    return normalize(cast(DualModel, model).encode_image(images).float(), dim=-1)


def encode_tokens(model: nn.Module, tokens: Tensor) -> Tensor:
    """Embed token ids (T, L) as float32 unit rows (T, D), with gradients.

    A text tower that what stands behind the last end mark cannot influence runs on the columns
    up to it only; neither the result nor a gradient is another.

    Args:
        model: Follows ``DualModel``.
        tokens: int64 on the host: its longest row must be known before the work starts.
    """
    device = cast(DualModel, model).logit_scale.device
    length = int(find_text_end(model).lengths(tokens.numpy()).max())
    rows = encode_cut_text(model, tokens[:, :length].to(device))
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
