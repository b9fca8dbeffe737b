"""A head's saved form: its arguments as plain JSON values and its state as arrays.

It knows nothing about runs, and nothing about what a state means: whether a head that was read is
whole it finds out by asking it for one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CheckpointError
from cliptune.heads import HEADS, Head
from cliptune.heads.options import TrainingPlan

__all__ = ["check_state", "check_stored_labels", "construct", "head_parameters", "load_head"]

_Built = TypeVar("_Built")

# Arrays that hold one number above 0: a factor below 0 would turn every answer around.
_FACTORS = ("logit_scale", "token_norm", "k")


def load_head(path: Path, facts: Mapping[str, Any], *, dim: int, n_classes: int) -> Head:
    """Read a fitted head and make sure that it answers.

    Args:
        path: A safetensors file with its state.
        facts: Its ``name`` and its ``parameters``, plain JSON values, hence ``Any``.
        dim: Length of the embeddings that it takes.
        n_classes: Classes that it tells apart.

    Raises:
        CheckpointError: The head is unknown, or its parameters or arrays are broken, contradict
            each other, or are of another dimension or number of classes.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    name, parameters = facts.get("name"), facts.get("parameters")
    if not isinstance(name, str) or name not in HEADS or not isinstance(parameters, Mapping):
        raise CheckpointError(
            f"{str(path)!r} has an unknown head {name!r:.80}; expected one of {', '.join(HEADS)}"
        )
    try:
        state = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read {str(path)!r} ({error})") from error
    try:
        head = HEADS[name].from_state(parameters, state)
        _require_answer(head, state, dim=dim, n_classes=n_classes)
    except CheckpointError:
        raise
    except Exception as error:  # whatever NumPy says of arrays that do not belong together
        raise CheckpointError(
            f"the head in {str(path)!r} is broken ({error}); restore it or fit again"
        ) from error
    return head


def check_stored_labels(labels: NDArray[Any], *, n_rows: int, n_classes: int) -> None:
    """Make sure that stored rows have one class each.

    Args:
        labels: Of the rows, as they were read.
        n_rows: Rows that are stored.
        n_classes: C; labels are 0..C-1.

    Raises:
        CheckpointError: They have not.
    """
    is_right = labels.dtype.kind in "iu" and len(labels) == n_rows
    if not is_right or labels.min() < 0 or labels.max() >= n_classes:
        raise CheckpointError(
            f"saved labels {labels.dtype} {labels.shape} do not give {n_rows} rows one of "
            f"{n_classes} classes each; fit the head again"
        )


def _require_answer(
    head: Head, state: Mapping[str, NDArray[Any]], *, dim: int, n_classes: int
) -> None:
    rows = state["weight"] if "weight" in state else state.get("prototypes")
    width = rows.shape[-1] if head.needs == "trunk" and rows is not None else dim
    if head.needs == "trunk" and width <= dim:
        raise ValueError(f"its rows have {width} numbers, those of the encoder more than {dim}")
    shape = (1, 2, dim) if head.needs == "tokens" else (1, width)
    row = np.full(shape, 1 / np.sqrt(dim), dtype=np.float32)
    logits = head.predict_logits(row)
    classes = np.asarray(head.classes_)
    if logits.shape != (1, n_classes) or not np.array_equal(classes, np.arange(n_classes)):
        raise ValueError(f"it tells {logits.shape[-1]} classes apart; {n_classes} are named")
    if not np.isfinite(logits).all():
        raise ValueError("its answers are not finite")


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
        is_number = array.dtype.kind in "fiu" and array.ndim == axes[name] and array.size
        if not is_number or not np.isfinite(array).all():
            raise CheckpointError(
                f"saved array {name!r} {array.shape} is broken; expected {axes[name]} axes and "
                "finite values; fit the head again"
            )
        if name in _FACTORS and (array.size != 1 or array[0] <= 0):
            raise CheckpointError(
                f"saved array {name!r} is {array.tolist()!r:.60}; expected one number above 0; fit "
                "the head again"
            )
    for name in axes:
        weight = state.get(f"{name.removesuffix('bias')}weight") if name.endswith("bias") else None
        if weight is not None and len(state[name]) != len(
            weight
        ):  # NumPy would spread a single one
            raise CheckpointError(
                f"saved arrays of {len(weight)} weights and {len(state[name])} biases do not "
                "belong together; fit the head again"
            )
    return dict(state)
