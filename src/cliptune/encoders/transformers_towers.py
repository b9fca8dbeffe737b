"""A model of transformers as two towers: pixels and token ids in, one row each out.

It knows what a family says of its towers, and nothing about files, tokenizers or names. A padded
id that a tower must not see comes as ``-1 - id``; see ``family_tokenizer``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn

from cliptune.encoders.families import TransformersFamily
from cliptune.encoders.families.facts import Towers
from cliptune.encoders.text_end import TextEnd
from cliptune.errors import InputError, NoTrunkError

__all__ = ["TransformersModel", "wrap_model"]


class _Projected(nn.Module):
    """What stands behind a tower."""

    def __init__(self, projection: nn.Module | None) -> None:
        super().__init__()
        if projection is not None:
            self.projection = projection

    def forward(self, rows: Tensor) -> Tensor:
        projection = getattr(self, "projection", None)
        projected: Tensor = rows if projection is None else projection(rows)
        return projected


class TransformersModel(nn.Module):
    """Follows ``DualModel`` over the towers of one of transformers' models.

    Args:
        model: Of a class that a family names; its towers are taken over.
        rule: How rows come out of them.
        text_end: How far rows of ids can be cut.

    Attributes:
        logit_scale: Logarithm of the factor on cosines.
        logit_bias: What is added to logits, or none.
        text_end: As it was given.
    """

    # Modules give Any-typed attributes, and transformers carries no types here.
    def __init__(self, model: Any, rule: Towers, text_end: TextEnd) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.visual = _Projected(model.visual_projection if rule.projections == "both" else None)
        self.text_model = model.text_model
        self.text = _Projected(model.text_projection if rule.projections != "none" else None)
        scale = model.temperature.detach().log().neg() if rule.temperature else model.logit_scale
        self.logit_scale = nn.Parameter(scale.detach().float())
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = None if bias is None else nn.Parameter(bias.detach().float())
        self.text_end = text_end
        self._rule = rule

    def encode_image(self, images: Tensor, /) -> Tensor:
        """Map normalised float images (B, 3, H, W) to (B, D)."""
        projected: Tensor = self.visual(self._pool(images))
        return projected

    def encode_text(self, tokens: Tensor, /) -> Tensor:
        """Map token ids (T, L) to (T, D)."""
        seen = (tokens >= 0).long()
        ids = torch.where(tokens >= 0, tokens, -1 - tokens)
        found = self.text_model(input_ids=ids, attention_mask=seen)
        first = self._rule.text_row == "first"
        row = found.last_hidden_state[:, 0] if first else found.pooler_output
        projected: Tensor = self.text(row)
        return projected

    def encode_image_tokens(self, images: Tensor, /) -> Tensor:
        """Map images to one vector per patch (B, N, D).

        Raises:
            InputError: A patch alone has no meaning here.
        """
        if self._rule.patches == "none":
            raise InputError(
                "no vectors per patch from pictures of different shapes (SigLIP 2 NaFlex); use a "
                "method that needs only the image's embedding"
            )
        hidden: Tensor = self.vision_model(pixel_values=images).last_hidden_state
        if self._rule.patches == "cells":
            hidden = hidden.flatten(2).transpose(1, 2)
            return cast(Tensor, self.visual(hidden))
        patches = hidden[:, self._rule.prefix :]
        if self._rule.patches == "head":
            alone = self.vision_model.head(patches.reshape(-1, 1, patches.shape[-1]))
            patches = alone.reshape(*patches.shape[:2], -1)
        elif self._rule.patches == "norm":
            patches = self.vision_model.post_layernorm(patches)
        return cast(Tensor, self.visual(patches))

    def encode_image_trunk(self, images: Tensor, /) -> tuple[Tensor, Tensor]:
        """Map images to their rows and what these are projected from, (B, D) and (B, E).

        Raises:
            NoTrunkError: Nothing is projected.
        """
        if self._rule.projections != "both":
            raise NoTrunkError(
                "no features before a projection from an image tower without one; use --features "
                "embedding"
            )
        pooled = self._pool(images)
        return self.visual(pooled), pooled

    def _pool(self, images: Tensor) -> Tensor:
        found = self.vision_model(pixel_values=images)
        if self._rule.patches == "cells":
            # The same mean as the tower's own pooling, whose window is larger than the map: a
            # shape that OpenVINO refuses.
            cells: Tensor = found.last_hidden_state
            return cells.mean(dim=(2, 3))
        pooled: Tensor = found.pooler_output
        return pooled


class NativeModel(TransformersModel):
    """The same for pictures in their own aspect ratio, packed as ``native_patches`` says.

    Pixels come normalised with a mean and std of a half, from which the packing is read back.
    """

    def _pool(self, images: Tensor) -> Tensor:
        told = torch.round((images[:, 0, 0, :4].float() * 0.5 + 0.5) * 255).long()
        grid = told[:, ::2] * 256 + told[:, 1::2]
        counts = grid.prod(dim=1)
        patches = images[:, :, 1:]
        # A graph keeps the full length.
        if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]  # torch's
            patches = patches[:, :, : int(counts.max())]
        n = patches.shape[2]
        seen = torch.arange(n, device=images.device)[None] < counts[:, None]
        # (B, 3, n, p * p) -> (B, n, p * p * 3), the channels last as the tower was trained
        flat = patches.permute(0, 2, 3, 1).reshape(images.shape[0], n, -1)
        flat = torch.where(seen[..., None], flat, torch.zeros_like(flat))
        pooled: Tensor = self.vision_model(
            pixel_values=flat, pixel_attention_mask=seen.long(), spatial_shapes=grid
        ).pooler_output
        return pooled


def wrap_model(
    model: Any, family: TransformersFamily, config: Mapping[str, Any], pad_id: int
) -> TransformersModel:  # Any: transformers carries no types here
    """Turn a model of a family's class into one that follows ``DualModel``.

    Args:
        model: As transformers built it.
        family: What it is.
        config: What it was built from.
        pad_id: The id of padding, masked or not.
    """
    ends = {
        "full": TextEnd(),
        "id": TextEnd("id", int(_eos_id(config))),
        "padding": TextEnd("padding", -1 - pad_id),
    }
    if family.name == "tipsv2":
        # A tracer is made to resize the positions to the size that they have.
        embeddings = model.vision_model.embeddings
        embeddings.interpolate_pos_encoding = MethodType(_own_positions, embeddings)
    kind = NativeModel if family.name == "siglip2" else TransformersModel
    registers = config["vision_config"].get("num_register_tokens")
    rule = family.towers if registers is None else replace(family.towers, prefix=1 + registers)
    return kind(model, rule, ends[family.end])


def _own_positions(embeddings: Any, *_: object) -> Tensor:  # Any: as above
    positions: Tensor = embeddings.position_embeddings
    return positions


def _eos_id(config: Mapping[str, Any]) -> int:
    eos = config["text_config"].get("eos_token_id")
    return eos[0] if isinstance(eos, list) else (49407 if eos is None else eos)
