"""A head by name and plain options.

It knows how options are spread over a head's arguments and its training plan, and no head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from cliptune.errors import InputError
from cliptune.heads import HEADS, Head

__all__ = ["make_head"]

_PLAN_OPTIONS = {"optimizer", "epochs", "batch_size", "schedule", "patience"}


def make_head(name: str, options: Mapping[str, Any], *, seed: int) -> Head:  # Any: any argument
    """Build an unfitted head.

    Args:
        name: A name in ``HEADS``.
        options: Arguments of its constructor, or of its training plan.
        seed: Of what is random in it.

    Raises:
        UnknownNameError: There is no such head.
        InputError: The head does not take one of the options.
    """
    head_class = HEADS[name]
    known = {f.name for f in fields(head_class) if f.init}  # type: ignore[arg-type]  # all are dataclasses
    plan = {key: value for key, value in options.items() if key in _PLAN_OPTIONS}
    own = {key: value for key, value in options.items() if key not in _PLAN_OPTIONS}
    unknown = sorted(set(own) - known) + (sorted(plan) if "plan" not in known else [])
    if unknown:
        takes = sorted((known - {"plan", "seed"}) | (_PLAN_OPTIONS if "plan" in known else set()))
        raise InputError(
            f"method {name!r} has no option {', '.join(unknown)}; "
            f"it takes {', '.join(takes) or 'none'}"
        )
    if "seed" in known:
        own["seed"] = seed
    head = head_class(**own)
    if plan:
        head = replace(head, plan=replace(head.plan, **plan))  # type: ignore[type-var,attr-defined]  # dataclasses
    return head
