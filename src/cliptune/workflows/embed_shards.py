"""``embed`` by shards: planned here, computed by processes or by Ray.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.errors import DataError, InputError
from cliptune.system.bounds import require_count
from cliptune.workflows.dataset import data_name, open_whole_table
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import require_class_names, require_compute
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.results.embedded_shards import EmbedShardsResult
    from cliptune.scale import EncoderRecipe
    from cliptune.scale.job import Job, JobSummary
    from cliptune.scale.shard import ShardOutcome, ShardTask
    from cliptune.workflows.dataset import Data

__all__ = ["ShardOptions", "embed_shards"]

_QUICK_FROM = 10_000  # images, beside which loading torch in each worker takes no time
_SHARE = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """How the shards of a job are made and who computes them."""

    executor: Literal["local", "ray"] = "local"
    """local: processes of this machine; ray: tasks on a Ray cluster."""

    workers: int | None = None
    """Shards computed at once; as many as cores otherwise."""

    address: str | None = None
    """Of a Ray cluster, HOST:PORT or auto; Ray is started here for the job otherwise."""

    rows_per_shard: int = 4096
    """Images of a shard."""

    dtype: Literal["float32", "float16"] = "float32"
    """Of the vectors in the files."""

    pixels: Literal["exact", "quick"] | None = None
    """exact: as the model's transform says; quick: in half of the time, a byte in 300 another.

    Otherwise quick from 10,000 images on where an engine computes, which rounds more than that.
    """

    shard: str = ""
    """i/n, from 0/n: compute every n-th shard only; other processes compute the others."""

    retry: bool = False
    """Compute shards again that failed before."""

    def __post_init__(self) -> None:
        if self.workers is not None:
            require_count("--workers", self.workers)
        require_count("--rows-per-shard", self.rows_per_shard)
        if self.address is not None and self.executor != "ray":
            raise InputError(f"--address came with --executor {self.executor}; it is ray's")
        self.share  # noqa: B018  looked at now

    @property
    def share(self) -> tuple[int, int]:
        """Which shards are this process's, as numbers.

        Raises:
            InputError: It is no i/n.
        """
        if not self.shard:
            return 0, 1
        found = _SHARE.fullmatch(self.shard)
        place, count = (int(found[1]), int(found[2])) if found else (1, 0)
        if place >= count:
            raise InputError(f"--shard {self.shard!r} came; expected i/n with i from 0 to n - 1")
        return place, count


def embed_shards(
    data: Data,
    out: str | Path,
    options: ShardOptions,
    *,
    model: str = "lite",
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> EmbedShardsResult:
    """Embed a data set shard by shard into a folder; a call that was killed goes on.

    Args:
        data: A data set by name, or a table.
        out: Folder of the parts (Parquet), the record of the job and, at its end, the manifest.
        options: How shards are made, and who computes them.
        model: Which encoder, by name.
        dataset: How to read the data set; without ``split`` all splits are embedded.
        compute: Where and how the encoder computes.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, model, options or place do not fit; the message says which.
    """
    from cliptune.scale import plan_job
    from cliptune.scale.job import Job, run_job
    from cliptune.system.places import require_writable

    require_class_names(dataset)
    require_compute(compute, [model])
    require_writable(Path(out), "--out")
    began = time.perf_counter()
    session = Session(compute, watching(progress))
    n_workers, threads = _workers(options)
    table = open_whole_table(data, dataset, session.watch)
    if not len(table):
        raise DataError(f"{data_name(data)!r} has no images to embed")
    encoder = session.open_encoder(model, table)
    recipe = _recipe(encoder, session, _pixels(options, encoder, len(table), Path(out)))
    plan = plan_job(
        table,
        recipe,
        fingerprint=encoder.fingerprint,
        preprocess=encoder.preprocess.to_dict(),
        rows_per_shard=options.rows_per_shard,
        dtype=options.dtype,
        on_bad_image=dataset.on_bad_image,
    )
    job = Job(plan, table, recipe, Path(out), threads, options.share, options.retry)
    with session.watch.stage(f"embedding with {model}") as show:
        summary = run_job(job, partial(_execute, options, n_workers, threads, recipe), show)
    seconds = time.perf_counter() - began
    return _result(job, summary, options, n_workers, data_name(data), seconds)


def _workers(options: ShardOptions) -> tuple[int, int]:
    """Return how many compute at once, and with how many threads each."""
    from cliptune.system.processors import usable_cores

    cores = usable_cores()
    n_workers = options.workers or cores
    if options.executor == "local" and n_workers > cores:
        raise InputError(
            f"--workers {n_workers} came, but this process may use {cores} cores; use {cores} or "
            "fewer"
        )
    return n_workers, max(1, cores // n_workers) if options.executor == "local" else 1


def _pixels(
    options: ShardOptions, encoder: DualEncoder, n_rows: int, out: Path
) -> Literal["exact", "quick"]:
    """Say how pictures become pixels: as asked, as the job in the folder began, or by its size."""
    from cliptune.features.keys import reduces_input
    from cliptune.scale.plan import holds_job, read_plan

    if options.pixels is not None:
        return options.pixels
    if holds_job(out):
        return "quick" if read_plan(out).facts.get("pixels") == "quick" else "exact"
    return "quick" if n_rows >= _QUICK_FROM and reduces_input(encoder) else "exact"


def _recipe(
    encoder: DualEncoder, session: Session, pixels: Literal["exact", "quick"]
) -> EncoderRecipe:
    from cliptune.scale import EncoderRecipe

    return EncoderRecipe(
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        engine=str(getattr(encoder, "engine", "torch")),
        precision=encoder.precision,
        device=str(getattr(encoder, "device", "cpu")),
        cache_dir=session.store.cache_dir.absolute(),
        pixels=pixels,
    )


def _execute(
    options: ShardOptions,
    n_workers: int,
    threads: int,
    recipe: EncoderRecipe,
    tasks: Iterable[ShardTask],
) -> Iterator[ShardOutcome]:
    if options.executor == "ray":
        from cliptune.scale.on_ray import run_on_ray

        return run_on_ray(tasks, n_workers, address=options.address, threads=threads)
    from cliptune.scale.executors import run_local

    return run_local(tasks, n_workers, n_gpus=_count_gpus(recipe))


def _count_gpus(recipe: EncoderRecipe) -> int:
    if not recipe.device.startswith("cuda"):
        return 0
    import torch

    return torch.cuda.device_count()


def _result(
    job: Job, summary: JobSummary, options: ShardOptions, n_workers: int, data: str, seconds: float
) -> EmbedShardsResult:
    from cliptune.features.guard import RowsChecked
    from cliptune.results.base import Unreadable
    from cliptune.results.embedded_shards import EmbedShardsResult, FailedShard

    return EmbedShardsResult(
        task="embed-shards",
        data=data,
        model=job.recipe.model,
        engine=job.recipe.engine,
        precision=job.recipe.precision,
        executor=options.executor,
        workers=n_workers,
        out=str(job.folder),
        rows=summary.rows,
        shards=job.plan.n_shards,
        failed=len(summary.failed),
        failures=tuple(FailedShard(n, reason) for n, reason in summary.failed.items()),
        missing=summary.missing,
        images_computed=summary.computed,
        images_per_second=summary.computed / seconds if summary.computed else None,
        rows_checked=RowsChecked(*summary.checked),
        unreadable=tuple(Unreadable(*one) for one in summary.skipped),
        changed=summary.changed,
        seconds=seconds,
    )
