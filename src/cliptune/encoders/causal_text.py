"""open_clip's causal text towers on fewer positions than they were built for.

No position sees a later one and the embedding is read at the end mark, so what stands behind it
changes neither the result nor a gradient. open_clip's own forward keeps its mask and positions
at full length; here its parts are called with both cut. It knows nothing about tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from cliptune.encoders.text_end import TextEnd

__all__ = ["encode_cut_text", "find_text_end"]

_CAUSAL_PARTS = ("token_embedding", "positional_embedding", "transformer", "ln_final")


def find_text_end(model: nn.Module) -> TextEnd:
    """Tell how far a model's rows of ids can be cut.

    A model whose ``encode_text`` takes rows of any length, and pays no heed to trailing
    ``padding_id``, says so by that attribute; one may also say all of it, by ``text_end``.
    """
    if isinstance(said := getattr(model, "text_end", None), TextEnd):
        return said
    tower = _causal_tower(model)
    if tower is not None:
        largest = _pooling(tower) == "argmax"
        return TextEnd("largest") if largest else TextEnd("id", _end_id(tower))
    padding = getattr(model, "padding_id", None)
    return TextEnd("padding", padding) if isinstance(padding, int) else TextEnd()


def encode_cut_text(model: nn.Module, tokens: Tensor) -> Tensor:
    """Embed ids (T, L), L at most the context and no less than the longest text: (T, D).

    A model that cannot be cut gets its rows as they are.
    """
    tower = _causal_tower(model)
    if tower is None:
        # Modules give Any-typed attributes; see DualModel.
        return cast(Callable[[Tensor], Tensor], model.encode_text)(tokens)
    length = tokens.shape[1]
    embed = cast(Callable[[Tensor], Tensor], tower.token_embedding)
    transformer = cast(Callable[..., Tensor], tower.transformer)
    norm = cast(Callable[[Tensor], Tensor], tower.ln_final)
    positions, mask = cast(Tensor, tower.positional_embedding), cast(Tensor, tower.attn_mask)
    embedded = embed(tokens)
    hidden = embedded + positions[:length].to(embedded.dtype)
    hidden = transformer(hidden, attn_mask=mask[:length, :length].to(embedded.dtype))
    rows = torch.arange(tokens.shape[0], device=tokens.device)
    pooled = norm(hidden[rows, _end_positions(tower, tokens)])
    projection = getattr(tower, "text_projection", None)
    if projection is None:
        return pooled
    projected: Tensor = (
        projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
    )
    return projected


def _causal_tower(model: nn.Module) -> nn.Module | None:
    """Find open_clip's causal text tower, if its embedding is read at the end mark."""
    for module in model.modules():
        is_tower = all(hasattr(module, part) for part in _CAUSAL_PARTS)
        if is_tower and getattr(module, "attn_mask", None) is not None:
            plain = getattr(module, "cls_emb", None) is None
            unpadded = not getattr(module, "use_pad_mask", False)
            return module if _pooling(module) in ("argmax", "eos") and plain and unpadded else None
    return None


def _pooling(tower: nn.Module) -> str:
    return str(getattr(tower, "text_pool_type", getattr(tower, "pool_type", "")))


def _end_id(tower: nn.Module) -> int:
    return int(getattr(tower, "text_eos_id", getattr(tower, "eos_id", 0)))


def _end_positions(tower: nn.Module, tokens: Tensor) -> Tensor:
    if _pooling(tower) == "argmax":
        return tokens.argmax(dim=-1)
    return tokens.eq(_end_id(tower)).int().argmax(dim=-1)
