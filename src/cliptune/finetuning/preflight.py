"""What a model rules out, before any image is embedded or any layer is replaced.

It knows names and sizes of layers, and nothing about data.
"""

from __future__ import annotations

from torch import nn

from cliptune.errors import InputError
from cliptune.finetuning.groups import Group, name_groups, plan_groups, tower_of
from cliptune.finetuning.options import METHOD_RATES, FinetuneOptions

__all__ = ["default_rates", "require_model_fits"]


def require_model_fits(model: nn.Module, options: FinetuneOptions) -> None:
    """Make sure that the options name groups of a model, and a rank that its layers can have.

    Args:
        model: As an encoder has it, without head or updates.
        options: Of the training.

    Raises:
        UnknownNameError: A group does not exist.
        InputError: Groups, rates and schedule leave nothing to train, or the rank is too large.
    """
    added = ["head"] if options.method == "head-then-full" else []
    if options.method == "lora":
        _require_rank(model, options)
        added += [f"lora.{tower}" for tower in options.lora.towers]
    groups = (*name_groups(model), *(Group(name, 0, ()) for name in added))
    plan_groups(groups, options.trainable, default_rates=default_rates(options))


def default_rates(options: FinetuneOptions) -> dict[str, float]:
    """Return the rate of each group that has none of its own."""
    rates = METHOD_RATES[options.method]
    if options.learning_rate is None:
        return dict(rates)
    return dict.fromkeys(rates, options.learning_rate)


def _require_rank(model: nn.Module, options: FinetuneOptions) -> None:
    """Compare the rank with the widest layer: an update of more than its rank is the layer."""
    towers = options.lora.towers
    widths = [_width(m) for name, m in model.named_modules() if tower_of(name) in towers]
    widest = max(widths, default=0)
    if options.lora.rank > widest > 0:
        raise InputError(
            f"LoRA rank {options.lora.rank} came, but no layer of {' and '.join(towers)} has a "
            f"rank above {widest}; use a small one such as 8, or --method full"
        )


def _width(module: nn.Module) -> int:
    if isinstance(module, nn.MultiheadAttention):
        return int(module.embed_dim)
    if isinstance(module, nn.Linear):
        return min(module.in_features, module.out_features)
    if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
        return min(module.in_channels, module.out_channels)
    return 0
