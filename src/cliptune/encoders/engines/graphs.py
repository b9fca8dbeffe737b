"""An encoder's towers as modules to be traced: bytes or token ids in, float32 rows out.

Normalisation of pixels and of embeddings is part of a graph, so that nothing has to be copied
outside of it. It knows no file format.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cliptune.encoders.averaged_crops import average_rows, spread_crops
from cliptune.encoders.causal_text import encode_cut_text
from cliptune.encoders.engines.agreement import draw_inputs
from cliptune.encoders.merged_branches import merge_branches
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.torch_encoder import join_unit_rows

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["TOWERS", "example_input", "tower_module"]

TOWERS = ("image", "text", "tokens", "trunk")


def tower_module(encoder: TorchEncoder, tower: str) -> nn.Module:
    """Wrap a tower.

    Args:
        encoder: Whose.
        tower: ``image`` and ``text`` give unit rows, ``tokens`` one vector per patch, ``trunk``
            unit rows with the features before the projection behind them.
    """
    if tower == "text":
        return _TextGraph(encoder.model).eval()
    merged = merge_branches(encoder.model)
    return _ImageGraph(merged, encoder.preprocess, _OUTPUTS[tower]).eval()


def example_input(encoder: TorchEncoder, tower: str, *, cut: bool) -> Tensor:
    """Return a batch of two as the tower's graph takes it; ``cut`` shortens rows of token ids."""
    if tower == "text":
        ids = encoder.tokenizer(["a photo of a cat.", "a bee"])
        length = int(encoder.text_end.lengths(ids.numpy()).max()) if cut else ids.shape[1]
        return ids[:, :length]
    if encoder.preprocess.resize_mode == "native":  # whose first row has to tell a grid
        return torch.from_numpy(draw_inputs(encoder.preprocess, 2))
    shape = (2, *encoder.preprocess.shape)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


class _ImageGraph(nn.Module):
    """Bytes (B, 3, H, W) to what an image tower gives, of several crops their average.

    Args:
        model: Follows ``DualModel``.
        preprocess: The constants of normalisation, and which crops there are.
        output: The model's method, and what is made of its result.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, model: nn.Module, preprocess: Preprocess, output: _Output) -> None:
        super().__init__()
        self.model = model
        self.method, self.finish = output
        self.preprocess = preprocess
        std = torch.tensor(preprocess.std).view(1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (std * 255))

    def forward(self, pixels: Tensor) -> Tensor:
        images = spread_crops((pixels.float() - self.mean) * self.scale, self.preprocess)
        # Modules give Any-typed attributes; see DualModel.
        found = getattr(self.model, self.method)(images)
        rows: Tensor = self.finish(_average(found, self.preprocess.crops))
        return rows


def _average(found: Any, crops: int) -> Any:  # Any: a tensor or two
    if isinstance(found, tuple):
        return tuple(average_rows(part, crops) for part in found)
    return average_rows(found, crops)


def _unit_rows(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=-1)


def _as_they_are(rows: Tensor) -> Tensor:
    return rows


# Any: a tensor, or the two that ``encode_image_trunk`` gives.
_Output = tuple[str, Callable[[Any], Tensor]]
_OUTPUTS: dict[str, _Output] = {
    "image": ("encode_image", _unit_rows),
    "tokens": ("encode_image_tokens", _as_they_are),
    "trunk": ("encode_image_trunk", join_unit_rows),
}


class _TextGraph(nn.Module):
    """Token ids (T, L), cut to the longest text where the tower allows it, to unit rows (T, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(encode_cut_text(self.model, tokens), dim=-1)
