"""``embed``: the vectors of a data set, at hand or as a file that other tools read.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, overload

from cliptune.errors import InputError
from cliptune.workflows.dataset import data_name, open_whole_table
from cliptune.workflows.options import ComputeOptions, DataOptions, Shards, read_shards
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import (
    require_class_names,
    require_compute,
    require_model_name,
)
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.results.embedded_shards import EmbedShardsResult
    from cliptune.results.predictions import EmbedResult
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.embed_shards import Parts
    from cliptune.workflows.session import Model

__all__ = ["embed"]


@overload
def embed(
    data: Data,
    *,
    model: Model = "lite",
    out: str | Path | None = None,
    shards: None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> EmbedResult: ...


@overload
def embed(
    data: Data,
    *,
    model: str = "lite",
    out: str | Path,
    shards: Shards,
    parts: Parts | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> EmbedShardsResult: ...


def embed(
    data: Data,
    *,
    model: Model = "lite",
    out: str | Path | None = None,
    shards: Shards | None = None,
    parts: Parts | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> EmbedResult | EmbedShardsResult:
    """Embed every image once; a call that was killed goes on where it stopped.

    Args:
        data: A data set by name, or a table.
        model: Which encoder, by name or loaded.
        out: Folder for ``features.parquet``; nothing is written without. With ``shards`` for one
            such file a shard and a manifest, without the cache.
        shards: Who computes a job shard by shard, ``{"executor": "local", "workers": 2}``; this
            process otherwise, through the cache.
        parts: What the files of shards hold and how they are made, ``{"dtype": "float16"}``,
            ``{"stream": True}``.
        dataset: How to read the data set; without ``split`` all splits are embedded.
        compute: Where and how the encoder computes.
        progress: A callback, or True for bars.

    Returns:
        The vectors; with ``shards`` what the job did, shards that failed among it.

    Raises:
        CliptuneError: Data, model or place do not fit; the message says which.
    """
    if (asked := read_shards(shards)).executor is not None:
        from cliptune.workflows.embed_shards import embed_shards, read_parts

        read = read_parts(parts)
        if out is None:
            raise InputError("shards came without a folder for their files; give out")
        return embed_shards(
            data, out, asked, parts=read, model=require_model_name(model),
            dataset=dataset, compute=compute, progress=progress,
        )  # fmt: skip
    if parts is not None:
        raise InputError("parts came without an executor; add shards={'executor': 'local'}")
    return _embed_here(data, model, out, dataset, compute, progress)


def _embed_here(
    data: Data,
    model: Model,
    out: str | Path | None,
    dataset: DataOptions,
    compute: ComputeOptions,
    progress: ProgressLike,
) -> EmbedResult:
    """Embed in this process, through the cache."""
    from cliptune.features import describe_computing, export_parquet
    from cliptune.results.predictions import EmbedResult
    from cliptune.system.places import require_writable

    require_class_names(dataset)
    require_compute(compute, [model])
    if out is not None:
        require_writable(Path(out), "--out")
    start = time.perf_counter()
    session = Session(compute, watching(progress))
    table = open_whole_table(data, dataset, session.watch)
    encoder = session.open_encoder(model, table)
    embedded = session.embed(encoder, table, on_bad_image=dataset.on_bad_image)
    written = None
    if out is not None:
        written = export_parquet(embedded.features, embedded.table, Path(out))
    computing = describe_computing(encoder, session.store.guard)
    return EmbedResult(
        task="embed",
        data=data_name(data),
        model=encoder.name,
        engine=computing["engine"],
        precision=computing["precision"],
        rows_checked=session.store.guard.checked,
        n=len(embedded.table),
        dim=encoder.dim,
        file=None if written is None else str(written),
        images_embedded=embedded.n_embedded,
        images_per_second=embedded.images_per_second,
        unreadable=embedded.unreadable,
        seconds=time.perf_counter() - start,
        table=embedded.table,
        features=embedded.features,
    )
