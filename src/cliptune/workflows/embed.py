"""``embed``: the vectors of a data set, at hand or as a file that other tools read.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.workflows.dataset import data_name, open_whole_table
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import require_class_names, require_compute
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.results.predictions import EmbedResult
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = ["embed"]


def embed(
    data: Data,
    *,
    model: Model = "lite",
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> EmbedResult:
    """Embed every image once; a call that was killed goes on where it stopped.

    Args:
        data: A data set by name, or a table.
        model: Which encoder, by name or loaded.
        out: Folder for ``features.parquet``; nothing is written without.
        dataset: How to read the data set; without ``split`` all splits are embedded.
        compute: Where and how the encoder computes.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, model or place do not fit; the message says which.
    """
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
