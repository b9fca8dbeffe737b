"""A head's saved form: its arguments as plain JSON values and its state as arrays.

It knows nothing about files, and nothing about what a state means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CheckpointError
from cliptune.heads.options import TrainingPlan

__all__ = ["check_state", "construct", "head_parameters"]

_Built = TypeVar("_Built")


def head_parameters(head: Any, *, deep: bool) -> dict[str, Any]:  # Any: a dataclass; any argument
    """Return a head's constructor arguments: scikit-learn's ``get_params``.

    Args:
        head: A head, which is a dataclass over its arguments.
        deep: Return nested options as plain JSON values, for saving; otherwise every argument
            as it came, which is what scikit-learn's ``clone`` asks for.
    """
    arguments = {field.name: getattr(head, field.name) for field in fields(head) if field.init}
    if not deep:
        return arguments
    return {k: asdict(v) if isinstance(v, TrainingPlan) else v for k, v in arguments.items()}


def construct(head_class: type[_Built], parameters: Mapping[str, Any]) -> _Built:  # Any: JSON
    """Build an unfitted head from its saved parameters.

    Raises:
        CheckpointError: A parameter is unknown or has a value that is refused.
    """
    arguments = dict(parameters)
    try:
        if "plan" in arguments:
            arguments["plan"] = TrainingPlan(**arguments["plan"])
        return head_class(**arguments)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"saved parameters of {head_class.__name__} are refused: {error}; fit the head again"
        ) from error


def check_state(
    state: Mapping[str, NDArray[Any]], axes: Mapping[str, int]
) -> dict[str, NDArray[Any]]:  # Any: whatever dtype was stored
    """Check a saved state's names, numbers of axes and values.

    Args:
        state: Arrays by name.
        axes: The names that are expected, with their number of axes.

    Raises:
        CheckpointError: A name is missing or unknown, or an array is of another shape or holds
            values that are not finite.
    """
    if set(state) != set(axes):
        raise CheckpointError(
            f"saved head holds {', '.join(sorted(state)) or 'nothing'}; "
            f"expected {', '.join(sorted(axes))}; fit the head again"
        )
    for name, array in state.items():
        finite = array.ndim == axes[name] and np.isfinite(array).all()
        if not finite:
            raise CheckpointError(
                f"saved array {name!r} {array.shape} is broken; expected {axes[name]} axes and "
                "finite values; fit the head again"
            )
    return dict(state)
