"""Low-rank updates of attention (and of 1x1 convolutions where a tower has none), by peft.

It knows nothing about training. Hu et al., arXiv:2106.09685. peft's own wrapper of
``nn.MultiheadAttention`` adds and subtracts the update at every step, which rounds the frozen
weights away bit by bit and cannot be read by autocast; here q, k, v and the output become linear
layers of their own first (``attention.py``), and are joined again after the merge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cliptune.errors import CheckpointError, InputError
from cliptune.finetuning.attention import join_attention, split_attention
from cliptune.finetuning.groups import tower_of
from cliptune.finetuning.options import LoraOptions

__all__ = ["LoraUpdate", "add_lora", "drop_lora", "lora_targets", "merge_lora"]

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class LoraUpdate:
    """The updates of one model.

    Attributes:
        wrapper: peft's view of the model.
        replaced: What ``split_attention`` took out.
        targets: Names of the layers that got an update.
    """

    wrapper: Any  # Any: peft.tuners.lora.LoraModel; peft ships no usable types
    replaced: list[tuple[nn.Module, nn.MultiheadAttention]]
    targets: tuple[str, ...]


def add_lora(model: nn.Module, options: LoraOptions, *, seed: int) -> LoraUpdate:
    """Give layers of the chosen towers a low-rank update that starts at zero.

    Args:
        model: Follows ``DualModel``; its layers are replaced in place.
        options: Rank, scale and towers.
        seed: Of the updates' first weights.

    Raises:
        InputError: A tower has no layer that an update could reach; the model is unchanged.
    """
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    replaced = split_attention(model)
    targets = lora_targets(model, options.towers)
    for tower in options.towers:
        if not any(tower_of(target) == tower for target in targets):
            join_attention(replaced)
            raise InputError(
                f"LoRA reaches attention and 1x1 convolutions, but the {tower} tower has none; "
                "leave that tower out, or use method full"
            )
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        target_modules="|".join(re.escape(target) for target in targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapper = LoraModel(model, config, "default")
    return LoraUpdate(wrapper, replaced, targets)


def lora_targets(model: nn.Module, towers: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the layers that updates go to.

    They are the linear layers of attention; in a tower without attention, the convolutions of
    kernel size 1, which are linear layers over positions.
    """
    linear: dict[str, list[str]] = {tower: [] for tower in towers}
    pointwise: dict[str, list[str]] = {tower: [] for tower in towers}
    kinds = {name: type(module) for name, module in model.named_modules()}
    for name, module in model.named_modules():
        tower = tower_of(name)
        if tower not in towers:
            continue
        if isinstance(module, nn.Linear) and _is_in_attention(name, kinds):
            linear[tower].append(name)
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1:
            pointwise[tower].append(name)
    return tuple(name for tower in towers for name in linear[tower] or pointwise[tower])


def _is_in_attention(name: str, kinds: dict[str, type[nn.Module]]) -> bool:
    """Look for attention among the layer's owners.

    torch's own attention and CLIP's attention pooling read their layers' weights without
    calling them, so that an update would be passed by.
    """
    parts = name.split(".")
    owners = [kinds[".".join(parts[:end])] for end in range(1, len(parts))]
    if any(issubclass(k, nn.MultiheadAttention) or k.__name__ == "AttentionPool2d" for k in owners):
        return False
    return any(kind.__name__.endswith("Attention") for kind in owners[-2:])


def merge_lora(update: LoraUpdate, embed: Callable[[], Sequence[Tensor]]) -> float:
    """Add the updates to the weights, in place, and restore the model's own layers.

    Args:
        update: What ``add_lora`` gave.
        embed: Computes unit rows of some images and texts with the model as it is.

    Returns:
        The largest difference that merging made to an element of a unit row.

    Raises:
        CheckpointError: It is above 1e-4, or the merged weights are not finite.
    """
    with torch.no_grad():
        before = [rows.clone() for rows in embed()]
        try:
            update.wrapper.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise CheckpointError(f"LoRA's weights cannot be merged ({error})") from error
        join_attention(update.replaced)
        after = embed()
    change = max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True))
    if not change <= _TOLERANCE:
        raise CheckpointError(
            f"merging LoRA changed the embeddings by {change:.1e}, expected at most "
            f"{_TOLERANCE:.0e}; train at a lower rate or in fp32"
        )
    return change


def drop_lora(update: LoraUpdate) -> None:
    """Restore the model's own layers without the updates, unless they were merged already."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(module, BaseTunerLayer) for module in update.wrapper.model.modules()):
        update.wrapper.unload()
        join_attention(update.replaced)
