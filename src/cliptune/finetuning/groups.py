"""Named groups of parameters: the towers block by block, projections, scale, head, LoRA.

It knows nothing about losses, data or steps. Names::

    image.stem  image.block0 ... image.blockK  image.top  image.projection
    text.stem   text.block0  ... text.blockK   text.top   text.projection
    logit_scale   head   lora.image   lora.text

A selector is such a name, the part before a point (``image``, ``lora``), ``all``,
``projection`` (both), or ``image.last4``: the last four blocks and all that follows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from cliptune.errors import InputError, UnknownNameError
from cliptune.finetuning.options import TrainableOptions

__all__ = [
    "BLOCK",
    "Group",
    "GroupPlan",
    "describe_plans",
    "name_groups",
    "plan_groups",
    "select_groups",
    "tower_of",
]

# In the name of a parameter: the block it belongs to, and its number.
BLOCK = re.compile(r"(?:^|\.)(?:resblocks|blocks|stages|layers?)\.?(\d+)\.")
_PROJECTION = re.compile(r"^(?:trunk\.|clip\.)?(?:proj|projection|text_projection|head|fc)(?:\.|$)")
_IMAGE_TOWER = ("visual", "vision_model", "image_tower", "image")
_TEXT_TOWER = ("text", "text_model", "text_tower")
_LAST = re.compile(r"^(image|text)\.last(\d+)$")
_TOWERS = ("image", "text")


@dataclass(frozen=True)
class Group:
    """Parameters that train at one rate.

    Attributes:
        name: As in the module's description.
        depth: Blocks between this group and the tower's output; 0 for what follows the blocks.
        parameters: (name in the module, parameter).
    """

    name: str
    depth: int
    parameters: tuple[tuple[str, nn.Parameter], ...]

    @property
    def n_parameters(self) -> int:
        """Number of scalars."""
        return sum(parameter.numel() for _, parameter in self.parameters)


@dataclass(frozen=True)
class GroupPlan:
    """What happens to one group.

    Attributes:
        group: The parameters.
        learning_rate: Peak rate, 0 if it never trains.
        start_epoch: Epochs done before it begins to train, or nothing if it never does.
    """

    group: Group
    learning_rate: float
    start_epoch: int | None


def name_groups(module: nn.Module) -> tuple[Group, ...]:
    """Sort every parameter of a dual model (and head and LoRA beside it) into named groups.

    Where a tower's module is not one of the layouts known here, its parameters before the first
    block (in order of registration) form the stem and those after the last block the top.

    Returns:
        Groups in the order stem, blocks, top, projection; image, text, scale, head, LoRA.
    """
    members: dict[str, list[tuple[str, nn.Parameter]]] = {}
    seen_blocks: set[str] = set()
    for name, parameter in module.named_parameters():
        members.setdefault(_group_of(name, seen_blocks), []).append((name, parameter))
    n_blocks = {tower: _count_blocks(members, tower) for tower in _TOWERS}
    ordered = sorted(members, key=_position)
    return tuple(Group(name, _depth(name, n_blocks), tuple(members[name])) for name in ordered)


def _group_of(name: str, seen_blocks: set[str]) -> str:
    parts = name.split(".")
    if parts[-1] in ("logit_scale", "logit_bias") and len(parts) <= 3:
        return "logit_scale"
    if parts[0] == "head":
        return "head"
    tower, inner = _split_tower(parts)
    if any(part.startswith("lora_") for part in parts):
        return f"lora.{tower}"
    block = BLOCK.search(inner)
    if block:
        seen_blocks.add(tower)
        return f"{tower}.block{block.group(1)}"
    if _PROJECTION.search(inner):
        return f"{tower}.projection"
    is_late = tower in seen_blocks and "embed" not in inner
    return f"{tower}.top" if is_late else f"{tower}.stem"


def tower_of(name: str) -> str:
    """Return ``image`` or ``text`` for the name of a module or parameter in a dual model."""
    return _split_tower([*name.split("."), ""])[0]


def _split_tower(parts: list[str]) -> tuple[str, str]:
    """Return the tower and the name within it; what no tower's name announces is text."""
    for tower, names in (("image", _IMAGE_TOWER), ("text", _TEXT_TOWER)):
        for position, part in enumerate(parts[:-1]):
            if part in names:
                return tower, ".".join(parts[position + 1 :])
    inner = parts[1:] if parts[0] == "model" else parts
    return "text", ".".join(inner)


def _count_blocks(names: Iterable[str], tower: str) -> int:
    prefix = f"{tower}.block"
    numbers = [int(name.removeprefix(prefix)) for name in names if name.startswith(prefix)]
    return max(numbers, default=-1) + 1


def _depth(name: str, n_blocks: dict[str, int]) -> int:
    tower, _, part = name.partition(".")
    if part == "stem":
        return n_blocks[tower] + 1
    if part.startswith("block"):
        return n_blocks[tower] - int(part.removeprefix("block"))
    return 0


def _position(name: str) -> tuple[int, int, int, str]:
    tower, _, part = name.partition(".")
    towers = ("image", "text", "logit_scale", "head", "lora")
    block = int(part.removeprefix("block")) if part.startswith("block") else 0
    kind = part.rstrip("0123456789")
    kinds = ("stem", "block", "top", "projection")
    return towers.index(tower), kinds.index(kind) if kind in kinds else 0, block, part


def select_groups(groups: Sequence[Group], selector: str) -> set[str]:
    """Return the names of the groups that a selector means.

    Raises:
        UnknownNameError: It means none.
    """
    names = [group.name for group in groups]
    last = _LAST.match(selector)
    if last:
        _require_blocks(names, selector, last.group(1), last.group(2))
        chosen = {
            group.name
            for group in groups
            if group.name.startswith(last.group(1) + ".") and group.depth <= int(last.group(2))
        }
    elif selector in ("projection", "projections"):
        chosen = {name for name in names if name.endswith(".projection")}
    else:
        chosen = {
            name
            for name in names
            if selector == "all" or name == selector or name.startswith(selector + ".")
        }
    if not chosen:
        parents = {name.split(".")[0] for name in names}
        raise UnknownNameError(
            "group", selector, [*sorted(parents), "all", "projection", *names], "or image.last4"
        )
    return chosen


def _require_blocks(names: Sequence[str], selector: str, tower: str, asked: str) -> None:
    """Refuse more last blocks than there are: all of a tower is named by the tower."""
    n_blocks = _count_blocks(names, tower)
    if len(asked) > 6 or int(asked) > n_blocks:
        raise UnknownNameError(
            "group",
            selector,
            [tower, *(f"{tower}.last{n}" for n in range(1, n_blocks + 1))],
            f"the {tower} tower has {n_blocks} blocks",
        )


def plan_groups(
    groups: Sequence[Group], options: TrainableOptions, *, default_rates: dict[str, float]
) -> tuple[GroupPlan, ...]:
    """Decide for every group whether, from when and at which rate it trains.

    Args:
        groups: All groups of the model.
        options: What the user asked for.
        default_rates: Rate by selector where the user gave none.

    Raises:
        UnknownNameError: A group does not exist.
        InputError: A rate is given to a group that is frozen, or nothing is left to train.
    """
    training: set[str] = set()
    for name in options.train or ("all",):
        training |= select_groups(groups, name)
    for name in options.freeze:
        training -= select_groups(groups, name)
    _refuse_rates_of_frozen(groups, options, training)
    own = _resolve_rates(groups, options.rates)
    default = _resolve_rates(groups, tuple(default_rates.items()), unknown_ok=True)
    starts = _start_epochs(groups, options.unfreeze)
    plans = []
    for group in groups:
        rate = own.get(group.name, default.get(group.name, 0.0))
        rate *= options.layer_decay**group.depth
        start = starts.get(group.name)
        if group.name not in training or rate == 0 or start is None:
            plans.append(GroupPlan(group, 0.0, None))
        else:
            plans.append(GroupPlan(group, rate, start))
    _require_some_training(plans)
    return tuple(plans)


def _refuse_rates_of_frozen(
    groups: Sequence[Group], options: TrainableOptions, training: set[str]
) -> None:
    for name, rate in options.rates:
        if rate > 0 and not select_groups(groups, name) & training:
            raise InputError(
                f"the rate {name}={rate:g} came for a group that is frozen; "
                f"drop the rate, or let {name!r} train"
            )


def _resolve_rates(
    groups: Sequence[Group], rates: Sequence[tuple[str, float]], *, unknown_ok: bool = False
) -> dict[str, float]:
    """Give each group the rate of the selector that names the fewest groups."""
    chosen: dict[str, tuple[int, float]] = {}
    for selector, rate in rates:
        try:
            names = select_groups(groups, selector)
        except UnknownNameError:
            if unknown_ok:
                continue
            raise
        for name in names:
            if name not in chosen or len(names) <= chosen[name][0]:
                chosen[name] = (len(names), rate)
    return {name: rate for name, (_, rate) in chosen.items()}


def _start_epochs(groups: Sequence[Group], unfreeze: Sequence[tuple[int, str]]) -> dict[str, int]:
    if not unfreeze:
        return {group.name: 0 for group in groups}
    starts: dict[str, int] = {}
    for epoch, selector in unfreeze:
        for name in select_groups(groups, selector):
            starts[name] = min(epoch, starts.get(name, epoch))
    return starts


def _require_some_training(plans: Sequence[GroupPlan]) -> None:
    starts = [plan.start_epoch for plan in plans if plan.start_epoch is not None]
    if not starts:
        names = ", ".join(dict.fromkeys(plan.group.name.split(".")[0] for plan in plans))
        raise InputError(
            f"nothing is left to train: every group ({names}) is frozen or has rate 0; "
            "let one train, e.g. --train image"
        )
    if min(starts) > 0:
        raise InputError(
            f"nothing trains before epoch {min(starts)}; begin the unfreezing at 0, e.g. '0:head'"
        )


def describe_plans(plans: Sequence[GroupPlan]) -> list[dict[str, str | int | float | None]]:
    """Return the table of groups as plain JSON values, one row a group."""
    return [
        {
            "group": plan.group.name,
            "tensors": len(plan.group.parameters),
            "parameters": plan.group.n_parameters,
            "learning_rate": plan.learning_rate,
            "start_epoch": plan.start_epoch,
        }
        for plan in plans
    ]
