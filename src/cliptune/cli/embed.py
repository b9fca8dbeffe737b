"""``cliptune embed``: a data set's embeddings as a file that other tools read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cliptune.cli.console import print_json, print_text
from cliptune.cli.early import require_class_names, require_compute
from cliptune.cli.open_data import open_whole_table
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions
from cliptune.cli.session import embed_table, open_encoder, open_store

__all__ = ["embed"]


def embed(
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    dataset: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Embed every image once; a killed run goes on where it stopped.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        out: Folder for features.parquet: id, path, label, class name, split and vector.
        dataset: How to read the data set; without --split all splits are embedded.
        model: Which encoder, where and how it computes.
        output: How results are shown.
    """
    from cliptune.features import describe_computing, export_parquet
    from cliptune.places import require_writable

    require_class_names(dataset)
    require_compute(model, [model.model])
    require_writable(out, "--out")
    start = time.perf_counter()
    table = open_whole_table(data, dataset)
    encoder, store = open_encoder(model, table), open_store(model)
    embedded = embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image)
    written = export_parquet(embedded.features, embedded.table, out)
    result = {
        "task": "embed",
        "data": data,
        "model": encoder.name,
        **describe_computing(encoder, store.guard),
        "n": len(embedded.table),
        "dim": encoder.dim,
        "file": str(written),
        "images_embedded": embedded.n_embedded,
        "images_per_second": embedded.images_per_second,
        "unreadable": [{"image": b.id, "reason": b.reason} for b in embedded.bad],
        "seconds": time.perf_counter() - start,
    }
    if output.json:
        print_json(result)
    else:
        print_text(
            f"{len(embedded.table)} vectors of {encoder.dim} dimensions from {encoder.name}, "
            f"{embedded.n_embedded} of them new: {written}"
        )
