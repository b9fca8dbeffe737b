"""How the time that is left is divided among the sections that move weights.

It knows what training costs, and nothing about the other sections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cliptune.studies.step import Step
from cliptune.studies.training_budget import Sizes, fit_training, left_for
from cliptune.system.formatting import duration

__all__ = ["MOVES_WEIGHTS", "MOVING_BATCH", "add_moving", "allot", "plan_training"]

Json = dict[str, Any]  # Any: plain JSON values

MOVING_BATCH = 32
_AFTER_IMAGES, _FEWEST_AFTER = 500, 100
_AFTER_SHARE = 0.1  # of the time of a short training that its map may take
# Shares of what the others leave; where it is not enough for all, the first ones have it.
_SHARES = {"fine-tuning": 0.45, "beyond": 0.35, "rates": 0.2}
MOVES_WEIGHTS = frozenset(_SHARES)
_LEAST_MOVING, _MOST_MOVING = 30, 600  # seconds of the sweep that moves weights
_MOVING_STEPS = 24  # what it takes to measure a step and to compare a few rates
_ATTENTION_COST = 2.0  # its fit takes about as long as embedding the patches


def allot(names: Sequence[str], sizes: Mapping[str, Sizes], room: float) -> dict[str, float]:
    """Divide what is left among those that can do something with it, each above its least.

    The sweep of moving weights is a part of a section that is done anyway; it takes part where
    its share is enough, and not at the cost of the others.
    """
    least = {name: min(map(_LEAST[name], sizes.values()), default=0.0) for name in names}
    kept: list[str] = []
    whole = sum(_SHARES[name] for name in names)
    for name in (name for name in _SHARES if name in names):
        is_enough = name != "rates" or _SHARES[name] / whole * room >= least[name]
        if is_enough and sum(least[one] for one in (*kept, name)) <= room:
            kept.append(name)
    rest = room - sum(least[name] for name in kept)
    shares = sum(_SHARES[name] for name in kept)
    return {name: least[name] + rest * _SHARES[name] / shares for name in kept}


def plan_training(name: str, sizes: Mapping[str, Sizes], allowance: float, *, room: float) -> Step:
    """Fit one of the sections ``fine-tuning`` and ``beyond`` into a time.

    Args:
        name: The section.
        sizes: By encoder that can be trained, at least one.
        allowance: Seconds; 0 where the least it needs is more than there is room for.
        room: Seconds that are left for all sections of this kind.
    """
    if not allowance:
        needed = min(map(_LEAST[name], sizes.values()))
        its_map = ", its map" if name == "fine-tuning" else ""
        reason = (
            f"the shortest training{its_map} and its turn on the locked test take about "
            f"{duration(needed)} here, and {left_for(room)}"
        )
        return Step(name, 0.0, {}, reason, waits=True)
    planner = _plan_fine_tuning if name == "fine-tuning" else _plan_beyond
    return planner(sizes, allowance)


def add_moving(
    step: Step, sizes: Mapping[str, Sizes], allowance: float, problem: str
) -> tuple[Step, float]:
    """Give encoders an equal time for the sweep that moves weights, if it is enough for some steps.

    The sweep measures a few steps before it begins; a time that this would use up is not given.
    """
    if step.left_out is not None:
        return step, 0.0
    each = round(min(allowance / max(len(sizes), 1), _MOST_MOVING))
    able = [name for name, size in sizes.items() if each >= round(_least_moving(size))]
    if not able:
        reason = problem or "the budget leaves no time for trainings that move the model"
        return replace(step, settings={**step.settings, "not_moving": reason}), 0.0
    settings = {**step.settings, "moving_seconds": dict.fromkeys(able, each)}
    used = float(each * len(able))
    return replace(step, seconds=step.seconds + used, settings=settings), used


def _least_training(size: Sizes) -> float:
    return size.least_seconds + _tested(size)


def _least_tuning(size: Sizes) -> float:
    """Return the least of training and of embedding what the map afterwards shows."""
    return _least_training(size) + min(size.n_val, _FEWEST_AFTER) * size.speed.forward


def _tested(size: Sizes) -> float:
    """Return the seconds of the locked test through one trained encoder, when it is opened."""
    return size.n_test * size.speed.forward


def _least_moving(size: Sizes) -> float:
    """Return the seconds below which a sweep that moves weights says nothing."""
    return max(_LEAST_MOVING, _MOVING_STEPS * MOVING_BATCH * size.speed.image)


_LEAST = {"fine-tuning": _least_tuning, "beyond": _least_training, "rates": _least_moving}


def _plan_fine_tuning(sizes: Mapping[str, Sizes], allowance: float) -> Step:
    """Give each encoder its share; the weights are also looked at on the map, and on the test."""
    models: dict[str, Json] = {}
    total, reason = 0.0, ""
    each = allowance / len(sizes)
    slowest = max(size.speed.forward for size in sizes.values())
    n_drawn = min(_AFTER_IMAGES, max(_FEWEST_AFTER, int(_AFTER_SHARE * each / slowest)))
    for position, (name, size) in enumerate(sizes.items()):
        share = (allowance - total) / (len(sizes) - position)
        drawn = min(size.n_val, n_drawn) * size.speed.forward
        found = fit_training(size, share - drawn - _tested(size))
        if isinstance(found, str):
            reason = found
        else:
            models[name] = found.settings
            total += found.seconds + drawn
    settings = {"models": models, "map_images": n_drawn}
    left_out = None if models else reason
    return Step("fine-tuning", total, settings, left_out, waits=not models)


def _plan_beyond(sizes: Mapping[str, Sizes], allowance: float) -> Step:
    """Give the attention head a third of each encoder's share, the recipe the rest."""
    attention: dict[str, int] = {}
    recipe: dict[str, Json] = {}
    total, reason = 0.0, ""
    for position, (name, size) in enumerate(sizes.items()):
        share = (allowance - total) / (len(sizes) - position)
        later = _tested(size)  # for each method
        fixed = size.n_val * size.speed.forward + 5.0
        per_image = _ATTENTION_COST * size.speed.forward
        n_train = min(size.n_train, int((share / 3 - fixed - later) / per_image))
        used, kept = 0.0, 0.0
        if n_train >= 2 * size.n_classes:
            attention[name] = n_train
            used, kept = fixed + n_train * per_image, later
        found = fit_training(size, share - used - kept - later)
        if isinstance(found, str):
            reason = found
        else:
            recipe[name] = found.settings
            used += found.seconds
        total += used
    left_out = None if attention or recipe else reason
    settings = {"attention": attention, "recipe": recipe}
    return Step("beyond", total, settings, left_out, waits=left_out is not None)
