"""open_clip's attention blocks with another engine inside, the same parameters and results.

It knows nothing about training. ``torch.nn.MultiheadAttention`` transposes its input; under
autocast on a CPU the first projection then falls into one small matrix product per token, and
its fused weight cannot be reached by LoRA. Here the projections are plain matrix products and
the rest is ``scaled_dot_product_attention``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

__all__ = [
    "FusedAttention",
    "SplitAttention",
    "fused_attention",
    "join_attention",
    "split_attention",
]


class FusedAttention(nn.Module):
    """Self-attention over the very parameters of a ``MultiheadAttention``, by the same names.

    Args:
        source: Its parameters are shared, not copied.
    """

    def __init__(self, source: nn.MultiheadAttention) -> None:
        super().__init__()
        self.in_proj_weight = source.in_proj_weight
        self.in_proj_bias = source.in_proj_bias
        self.out_proj = source.out_proj
        self.n_heads = source.num_heads

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """Attend within each row of ``query`` (B, L, D); ``key`` and ``value`` are the same."""
        rows, length, width = query.shape
        joint = linear(query, self.in_proj_weight, self.in_proj_bias)
        heads = joint.view(rows, length, 3, self.n_heads, width // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        return self.out_proj(_attend(q, k, v, attn_mask)), None


class SplitAttention(nn.Module):
    """The same with one linear layer each for q, k, v and the output.

    Args:
        source: Its parameters are copied for q, k and v, shared for the output.
    """

    def __init__(self, source: nn.MultiheadAttention) -> None:
        super().__init__()
        width = source.embed_dim
        for part, name in enumerate(("q_proj", "k_proj", "v_proj")):
            layer = nn.Linear(width, width, bias=source.in_proj_bias is not None)
            rows = slice(part * width, (part + 1) * width)
            layer.weight = nn.Parameter(source.in_proj_weight.detach()[rows].clone())
            if source.in_proj_bias is not None:
                layer.bias = nn.Parameter(source.in_proj_bias.detach()[rows].clone())
            self.add_module(name, layer)
        self.out_proj = source.out_proj
        self.n_heads = source.num_heads

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """Attend within each row of ``query`` (B, L, D); ``key`` and ``value`` are the same."""
        rows, length, width = query.shape
        shape = (rows, length, self.n_heads, width // self.n_heads)
        q, k, v = (
            self.get_submodule(name)(query).view(shape).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        return self.out_proj(_attend(q, k, v, attn_mask)), None

    @torch.no_grad()
    def write_into(self, target: nn.MultiheadAttention) -> None:
        """Copy q, k and v back into the fused weights of a ``MultiheadAttention``."""
        layers = [self.get_submodule(name) for name in ("q_proj", "k_proj", "v_proj")]
        target.in_proj_weight.copy_(torch.cat([layer.get_parameter("weight") for layer in layers]))
        if target.in_proj_bias is not None:
            target.in_proj_bias.copy_(torch.cat([layer.get_parameter("bias") for layer in layers]))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    rows, n_heads, length, depth = q.shape
    if mask is not None and mask.ndim == 3:  # CoCa's: one for each row and head, rows first
        mask = mask.view(rows, n_heads, length, length)
    attended = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attended.transpose(1, 2).reshape(rows, length, n_heads * depth)


@contextmanager
def fused_attention(model: nn.Module) -> Iterator[None]:
    """Run the model's attention blocks with ``FusedAttention`` inside the block.

    Names and parameters stay what they are, so optimisers and state dicts do not notice.
    """
    replaced = _self_attention(model)
    for block, attention in replaced:
        block.add_module("attn", FusedAttention(attention))
    try:
        yield
    finally:
        for block, attention in replaced:
            block.add_module("attn", attention)


def split_attention(model: nn.Module) -> list[tuple[nn.Module, nn.MultiheadAttention]]:
    """Put ``SplitAttention`` into the model's blocks, for ``join_attention`` to undo.

    Returns:
        (block, the attention it had).
    """
    replaced = _self_attention(model)
    for block, attention in replaced:
        block.add_module("attn", SplitAttention(attention))
    return replaced


def join_attention(replaced: list[tuple[nn.Module, nn.MultiheadAttention]]) -> None:
    """Write what the split layers have become back into the original modules, in place."""
    for block, attention in replaced:
        split = block.get_submodule("attn")
        assert isinstance(split, SplitAttention), "split_attention put it there"
        split.write_into(attention)
        block.add_module("attn", attention)


def _self_attention(model: nn.Module) -> list[tuple[nn.Module, nn.MultiheadAttention]]:
    """Find open_clip's plain blocks, (block, attention); others keep their own engine."""
    from open_clip.transformer import ResidualAttentionBlock

    found = []
    for module in model.modules():
        if isinstance(module, ResidualAttentionBlock) and not hasattr(module, "ln_1_kv"):
            attention = module.get_submodule("attn")
            if isinstance(attention, nn.MultiheadAttention) and _is_plain(attention):
                found.append((module, attention))
    return found


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    fused = attention.in_proj_weight is not None and attention.bias_k is None
    return fused and attention.batch_first and attention.dropout == 0.0
