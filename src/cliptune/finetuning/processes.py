"""One process or several, by accelerate: who this one is, and where its numbers are tracked.

It knows nothing about models. ``accelerate launch`` starts the processes; without it there is
one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.errors import DeviceError, InputError, UnknownNameError
from cliptune.finetuning.options import TRACKERS

__all__ = ["Processes", "launched_as", "leave_processes", "require_tracker", "start_processes"]


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Attributes:
        accelerator: accelerate's handle.
        rank: This process, from 0; 0 writes and reports.
        count: Number of processes.
        device: Where this process computes, as torch names it.
    """

    accelerator: Any  # Any: accelerate.Accelerator; importing it here would import torch
    rank: int
    count: int
    device: str

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers to the trackers."""
        if self.accelerator.trackers:
            self.accelerator.log(dict(values), step=step)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.accelerator.wait_for_everyone()

    def least(self, number: int) -> int:
        """Return the smallest of a number over all processes."""
        if self.count == 1:
            return number
        import torch

        shared = torch.tensor(number, device=self.device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MIN)
        return int(shared)

    def close(self) -> None:
        """Let the trackers write what they hold back."""
        for tracker in self.accelerator.trackers:
            tracker.finish()


def start_processes(
    device: str,
    trackers: Sequence[str] = (),
    *,
    folder: Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> Processes:
    """Join the processes that ``accelerate launch`` started, or be the only one.

    Args:
        device: Where the model is; with several GPUs, each process gets its own.
        trackers: Some of ``TRACKERS``.
        folder: Where trackers that write files put them.
        config: What the trackers show as the run's options.

    Raises:
        UnknownNameError: There is no such tracker.
        InputError: A tracker is not installed.
        DeviceError: This process began on another kind of device.
    """
    from accelerate import Accelerator

    for name in trackers:
        require_tracker(name)
    try:
        accelerator = Accelerator(
            cpu=device == "cpu", log_with=list(trackers) or None, project_dir=folder
        )
    except ValueError as error:
        raise DeviceError(
            f"device {device!r} came, but this process has begun on another ({error}); "
            "use one device in a process"
        ) from error
    if trackers:
        accelerator.init_trackers("cliptune", config=_flat(config or {}))
    own = str(accelerator.device) if accelerator.num_processes > 1 else device
    return Processes(accelerator, accelerator.process_index, accelerator.num_processes, own)


def launched_as() -> tuple[int, int]:
    """Return this process's rank and the number of processes, as the launcher told them.

    Reads the environment only, so that a command line knows who may write before torch is here.
    """
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def leave_processes() -> None:
    """Part from the other processes: what follows is done by one of them alone."""
    from accelerate import PartialState

    PartialState().destroy_process_group()


def require_tracker(name: str) -> None:
    """Make sure that a tracker is known and installed.

    Raises:
        UnknownNameError: There is no such tracker.
        InputError: It is not installed.
    """
    from accelerate import utils

    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    present = {
        "tensorboard": utils.is_tensorboard_available,
        "mlflow": utils.is_mlflow_available,
        "wandb": utils.is_wandb_available,
    }
    if not present[name]():
        raise InputError(f"tracker {name!r} is not installed; pip install {name}, or drop it")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Trackers take numbers and texts only."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str) else str(value)
    return flat
