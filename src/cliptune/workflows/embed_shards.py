"""``embed`` by shards: planned here, computed by processes or by Ray.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.errors import DataError, InputError
from cliptune.system.escaping import for_terminal
from cliptune.workflows.dataset import data_name, open_whole_table
from cliptune.workflows.embed_pixels import choose_pixels
from cliptune.workflows.embed_stream import find_stream, refuse_beyond_stream
from cliptune.workflows.options import ComputeOptions, DataOptions, ShardOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import require_class_names, require_compute
from cliptune.workflows.session import Session
from cliptune.workflows.shard_workers import find_workers, recipe_of

if TYPE_CHECKING:
    from cliptune.results.embedded_shards import EmbedShardsResult
    from cliptune.scale.job import EmbedJob, JobSummary, Standing
    from cliptune.scale.stream_job import StreamJob
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.progress import Advance
    from cliptune.workflows.shard_workers import ShardWorkers

__all__ = ["PartOptions", "Parts", "embed_shards", "read_parts"]

_QUICK_FROM = 10_000  # images, beside which loading torch in each worker takes no time
_ROWS_PER_SHARD = 4096
_SHARE = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PartOptions:
    """What the files of an embedding job hold, and which of them are this process's."""

    dtype: Literal["float32", "float16"] = "float32"
    """Of the vectors in the files."""

    pixels: Literal["exact", "quick", "device"] | None = None
    """exact: as the model's transform says; quick: in half of the time, a byte in 300 another;
    device: JPEGs are decoded on the CUDA device that computes.

    Otherwise quick from 10,000 images on where an engine computes, which rounds more than that, and
    device on a GPU in bf16 or fp16 where a sample comes at least 1.1 times as fast.
    """

    shard: str = ""
    """i/n, from 0/n: compute every n-th shard only; other processes compute the others."""

    stream: bool = False
    """Each tar is a shard, which its worker reads: nobody lists or fetches all of them first."""

    def __post_init__(self) -> None:
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


Parts = PartOptions | Mapping[str, str | bool]
"""What the parts hold: options, or these by name: ``{"dtype": "float16", "stream": True}``."""


def read_parts(parts: Parts | None) -> PartOptions:
    """Return options of parts, the usual ones without any.

    Raises:
        InputError: An option is unknown, or does not fit.
    """
    if isinstance(parts, PartOptions):
        return parts
    given, known = dict(parts or {}), [field.name for field in fields(PartOptions)]
    if unknown := [name for name in given if name not in known]:
        raise InputError(f"parts have no option {unknown[0]!r}; expected {', '.join(known)}")
    return PartOptions(**given)  # type: ignore[arg-type]  # each is looked at there


def embed_shards(
    data: Data,
    out: str | Path,
    shards: ShardOptions,
    *,
    parts: PartOptions = PartOptions(),
    model: str = "lite",
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> EmbedShardsResult:
    """Embed a data set shard by shard into a folder; a call that was killed goes on.

    Args:
        data: A data set by name, or a table.
        out: Folder of the parts (Parquet), the record of the job and, at its end, the manifest.
        shards: How shards are made, and who computes them.
        parts: What they hold, and which of them are this process's.
        model: Which encoder, by name.
        dataset: How to read the data set; without ``split`` all splits are embedded.
        compute: Where and how the encoder computes.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, model, options or place do not fit; the message says which.
    """
    from cliptune.scale.job import run_job
    from cliptune.system.places import require_writable

    if parts.stream:
        refuse_beyond_stream(data, shards, dataset, compute)
    require_class_names(dataset)
    require_compute(compute, [model])
    require_writable(Path(out), "--out")
    began = time.perf_counter()
    session = Session(compute, watching(progress))
    workers = find_workers(shards)
    if workers is None:
        raise InputError("shards came without an executor; expected local or ray")
    plan = _plan_stream if parts.stream else _plan_table
    job = plan(_Request(data, Path(out), parts, model, dataset, shards.retry), session, workers)
    unit = "shards" if parts.stream else "images"
    with session.watch.stage(f"embedding with {model}", unit) as show:
        summary = run_job(
            job, partial(workers.execute, device=job.recipe.device), _Shown(show, began).advance
        )
    seconds = time.perf_counter() - began
    return _result(job, summary, workers, data_name(data), seconds)


@dataclass(frozen=True)
class _Request:
    """What was asked for, but for who computes."""

    data: Data
    out: Path
    parts: PartOptions
    model: str
    dataset: DataOptions
    retry: bool


@dataclass
class _Shown:
    """Tells how far a job is: in images where their number is known, else in shards."""

    show: Advance
    began: float

    def advance(self, now: Standing) -> None:
        if now.of_images is not None:
            self.show(now.images, now.of_images)
            return
        rate = now.computed / max(time.perf_counter() - self.began, 1e-9)
        said = f"{now.images:,} images" + (f", {rate:,.0f} images/s" if now.computed else "")
        self.show(now.shards, now.of_shards, said)


def _plan_table(request: _Request, session: Session, workers: ShardWorkers) -> EmbedJob:
    """Open all images, cut them into shards, and choose what embeds."""
    from cliptune.scale import plan_job
    from cliptune.scale.job import EmbedJob

    dataset, parts = request.dataset, request.parts
    table = open_whole_table(request.data, dataset, session.watch)
    if not len(table):
        raise DataError(f"{data_name(request.data)!r} has no images to embed")
    encoder = session.open_encoder(request.model, table)
    pixels = choose_pixels(
        parts.pixels, encoder, request.out, many=len(table) >= _QUICK_FROM, table=table,
        threads=workers.threads,
    )  # fmt: skip
    recipe = replace(recipe_of(encoder, session.store.cache_dir), pixels=pixels)
    plan = plan_job(
        table,
        recipe,
        fingerprint=encoder.fingerprint,
        preprocess=encoder.preprocess.to_dict(),
        rows_per_shard=workers.rows_per_shard(_ROWS_PER_SHARD),
        dtype=parts.dtype,
        on_bad_image=dataset.on_bad_image,
    )
    return EmbedJob(
        plan=plan,
        table=table,
        folder=request.out,
        share=parts.share,
        retry=request.retry,
        recipe=recipe,
        threads=workers.threads,
    )


def _plan_stream(request: _Request, session: Session, workers: ShardWorkers) -> StreamJob:
    """Find the units, and choose what embeds; no image is read."""
    from cliptune.scale.plan import plan_stream
    from cliptune.scale.stream_job import StreamJob

    dataset, parts = request.dataset, request.parts
    found = find_stream(data_name(request.data), dataset)
    session.watch.note(for_terminal(found.sentence))
    encoder = session.open_encoder(request.model)
    pixels = choose_pixels(parts.pixels, encoder, request.out, many=found.is_large)
    recipe = replace(recipe_of(encoder, session.store.cache_dir), pixels=pixels)
    plan = plan_stream(
        found.names,
        recipe,
        fingerprint=encoder.fingerprint,
        preprocess=encoder.preprocess.to_dict(),
        reading=found.reading,
        dtype=parts.dtype,
        on_bad_image=dataset.on_bad_image,
    )
    return StreamJob(
        plan=plan,
        units=found.units,
        columns=found.columns,
        class_names=found.class_names,
        folder=request.out,
        share=parts.share,
        retry=request.retry,
        recipe=recipe,
        threads=workers.threads,
    )


def _result(
    job: EmbedJob | StreamJob, summary: JobSummary, workers: ShardWorkers, data: str, seconds: float
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
        executor=workers.executor,
        workers=workers.n,
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
