"""The state of an unfinished run on disk: one file, replaced as a whole.

It knows nothing about what the state means. ``state.safetensors`` holds the weights that
train, the optimiser's moments and torch's generator as tensors, and all else as JSON in the
file's header; ``best-N.safetensors`` holds the weights of the best epoch so far. A best file is
written before the state that names it and removed after the state that names another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cliptune.errors import RunError, UnavailableError
from cliptune.system.atomic import atomic_path
from cliptune.system.json_files import parse_object

__all__ = [
    "SavedState",
    "has_state",
    "load_best",
    "load_state",
    "save_best",
    "save_state",
]

_STATE = "state.safetensors"

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class SavedState:
    """What ``load_state`` finds.

    Attributes:
        weights: By name.
        optimizer: As ``Optimizer.state_dict()["state"]`` has it.
        generator: State of torch's CPU generator.
        facts: Plain JSON values.
    """

    weights: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    generator: Tensor
    facts: Json


def save_state(
    folder: Path,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    facts: Mapping[str, Any],
) -> None:
    """Replace the state of a run; at every moment the folder holds the old one or the new one.

    Raises:
        UnavailableError: The disk is full or cannot be written; the old state stays.
    """
    tensors = {f"weights/{name}": tensor for name, tensor in weights.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            if value is not None:
                tensors[f"optimizer/{index}/{key}"] = value
    tensors["generator"] = torch.get_rng_state()
    _write(folder / _STATE, tensors, {"facts": json.dumps(facts, allow_nan=False)})
    for file in folder.glob("best-*.safetensors"):
        if file.name != best_name(facts.get("best_epoch")):
            file.unlink()


def has_state(folder: Path) -> bool:
    """Say whether there is a run to take up again."""
    return (folder / _STATE).is_file()


def load_state(folder: Path) -> SavedState:
    """Read what ``save_state`` wrote, and remove what a killed writer left behind.

    Raises:
        RunError: There is no state, or it cannot be read, or lacks something.
    """
    for leftover in folder.glob(".tmp-*"):
        leftover.unlink(missing_ok=True)
    tensors, metadata = _read(folder / _STATE)
    facts = parse_object(metadata.get("facts", ""), str(folder / _STATE))
    if "generator" not in tensors:
        raise RunError(f"the checkpoint {str(folder / _STATE)!r} lacks its generator; start anew")
    optimizer: dict[int, dict[str, Tensor]] = {}
    weights = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "weights":
            weights[rest] = tensor
        elif kind == "optimizer":
            index, _, key = rest.partition("/")
            if not (index.isascii() and index.isdigit()):
                raise RunError(f"the checkpoint {str(folder / _STATE)!r} has an odd {name!r:.80}")
            optimizer.setdefault(int(index), {})[key] = tensor
    return SavedState(weights, optimizer, tensors["generator"], facts)


def save_best(folder: Path, epoch: int, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of an epoch that is the best so far.

    Raises:
        UnavailableError: The disk is full or cannot be written.
    """
    _write(folder / best_name(epoch), dict(weights), {})


def load_best(folder: Path, epoch: int) -> dict[str, Tensor]:
    """Read the weights of the best epoch.

    Raises:
        RunError: They are not there.
    """
    return _read(folder / best_name(epoch))[0]


def best_name(epoch: int | None) -> str:
    """Return the file name of an epoch's weights."""
    return f"best-{epoch}.safetensors"


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Channels-last memory is no plain block of bytes.
    plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(plain, temporary, metadata)
        except SafetensorError as error:
            raise UnavailableError(
                f"cannot write the checkpoint {str(path)!r} ({error}); free some space and "
                "resume: the one before it is whole"
            ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
            return tensors, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot read the checkpoint {str(path)!r} ({error})") from error
