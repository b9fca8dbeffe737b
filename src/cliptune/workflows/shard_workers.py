"""Who computes the shards of a job: as many as were asked for, where that was checked.

It knows the executors, and nothing about what a shard is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import InputError
from cliptune.workflows.options import ShardOptions, Shards, read_shards

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.runs import RunDir
    from cliptune.scale import EncoderRecipe
    from cliptune.scale.tasks import ShardOutcome, Task

__all__ = ["ShardWorkers", "find_workers", "recipe_of"]


@dataclass(frozen=True)
class ShardWorkers:
    """An executor that may be used.

    Attributes:
        options: What was asked for.
        n: Shards computed at once.
        threads: Of each.
    """

    options: ShardOptions
    n: int
    threads: int

    @property
    def executor(self) -> str:
        """``local`` or ``ray``."""
        return self.options.executor or "local"

    def rows_per_shard(self, usual: int) -> int:
        """Return how many images a shard has: as asked, or as usual."""
        return self.options.rows_per_shard or usual

    def execute(self, tasks: Iterable[Task], device: str = "cpu") -> Iterator[ShardOutcome]:
        """Compute tasks in whatever order they end.

        Args:
            tasks: What to compute.
            device: Of the encoder; several GPUs are taken in turns.
        """
        if self.executor == "ray":
            from cliptune.scale.on_ray import run_on_ray

            return run_on_ray(tasks, self.n, address=self.options.address, threads=self.threads)
        from cliptune.scale.executors import run_local

        return run_local(tasks, self.n, n_gpus=_count_gpus(device))


def find_workers(shards: Shards | None) -> ShardWorkers | None:
    """Return who computes shards; None where no executor was asked for.

    Nothing is started, but a cluster that does not answer is found here, before anything else.

    Raises:
        InputError: An option or the address does not fit, or there are more workers than cores.
        MissingExtraError: Ray is not installed.
        UnavailableError: Nothing answers at the address.
    """
    from cliptune.system.processors import usable_cores

    options = read_shards(shards)
    if options.executor is None:
        return None
    cores = usable_cores()
    n = options.workers or cores
    if options.executor == "ray":
        from cliptune.scale.on_ray import require_ray

        require_ray(options.address)
        return ShardWorkers(options, n, 1)
    if n > cores:
        raise InputError(
            f"--workers {n} came, but this process may use {cores} cores; use {cores} or fewer"
        )
    return ShardWorkers(options, n, max(1, cores // n))


def recipe_of(encoder: DualEncoder, cache_dir: Path, run: RunDir | None = None) -> EncoderRecipe:
    """Say how a worker opens an encoder.

    Args:
        encoder: The encoder here.
        cache_dir: Where graphs of engines are.
        run: Whose classifier it is for: where it holds the weights, they are read from there.
    """
    from cliptune.encoders.names import require_one_encoder
    from cliptune.scale import EncoderRecipe

    require_one_encoder([encoder.name], "a worker opens one: embed with each")
    return EncoderRecipe(
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        engine=str(getattr(encoder, "engine", "torch")),
        precision=encoder.precision,
        device=str(getattr(encoder, "device", "cpu")),
        cache_dir=cache_dir.absolute(),
        run=_own_weights(run),
    )


def _own_weights(run: RunDir | None) -> Path | None:
    from cliptune.classifiers.calibrated_head import EncoderRecord

    if run is None or not EncoderRecord.read(run).weights_in_run:
        return None
    return run.path.absolute()


def _count_gpus(device: str) -> int:
    if not device.startswith("cuda"):
        return 0
    import torch

    return torch.cuda.device_count()
