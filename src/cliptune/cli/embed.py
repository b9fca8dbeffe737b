"""``cliptune embed``: a data set's embeddings as a file that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cliptune.cli.console import print_result
from cliptune.cli.numbers import whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output
from cliptune.errors import InputError, ShardsFailedError
from cliptune.workflows.embed import embed as embed_data
from cliptune.workflows.embed_shards import ShardOptions, embed_shards
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["embed"]


def embed(
    data: str,
    /,
    *,
    out: Path,
    executor: Literal["local", "ray"] | None = None,
    workers: Annotated[int | None, whole(1)] = None,
    address: str | None = None,
    rows_per_shard: Annotated[int | None, whole(1)] = None,
    dtype: Literal["float32", "float16"] | None = None,
    pixels: Literal["exact", "quick"] | None = None,
    shard: str | None = None,
    retry: bool = False,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Embed every image once; a killed run goes on where it stopped.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        out: Folder for features.parquet: id, path, label, class name, split and vector; with an
            executor for one such file a shard and a manifest.
        executor: Compute shards in processes of this machine (local) or as tasks of Ray (ray),
            without the cache; a killed job goes on, and its parts are the same.
        workers: Shards computed at once; as many as cores otherwise.
        address: Of a Ray cluster, HOST:PORT or auto; Ray is started here otherwise.
        rows_per_shard: Images of a shard; 4096 otherwise.
        dtype: Of the vectors in the files of shards; float32 otherwise.
        pixels: exact: as the model's transform says; quick: in half of the time, one byte in 300
            another; quick otherwise for 10,000 images and more where an engine computes.
        shard: i/n, from 0/n: every n-th shard only, others are computed by other processes.
        retry: Compute shards again that failed before.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            or a local path.
        dataset: How to read the data set; without --split all splits are embedded.
        compute: Where and how the encoder computes.
        output: How results are shown.
    """
    given = {
        "executor": executor,
        "workers": workers,
        "address": address,
        "rows_per_shard": rows_per_shard,
        "dtype": dtype,
        "pixels": pixels,
        "shard": shard,
        "retry": retry or None,
    }
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if asked:
        _embed_shards(data, out, asked, model, dataset, compute, output)
        return
    result = embed_data(
        data, model=model, out=out, dataset=dataset, compute=compute, progress=TerminalWatch()
    )
    print_result(result, as_json=output.json)


def _embed_shards(
    data: str,
    out: Path,
    asked: dict[str, Any],  # Any: options of several types
    model: str,
    dataset: DatasetOptions,
    compute: ComputeOptions,
    output: Output,
) -> None:
    """Run a job, and leave with code 1 where a shard failed.

    Raises:
        InputError: Options of jobs came without an executor.
        ShardsFailedError: A shard failed; the others are done.
    """
    if "executor" not in asked:
        names = ", ".join("--" + name.replace("_", "-") for name in asked)
        raise InputError(f"{names} came without --executor; add --executor local or ray")
    options = ShardOptions(**asked)
    result = embed_shards(
        data, out, options, model=model, dataset=dataset, compute=compute, progress=TerminalWatch()
    )
    print_result(result, as_json=output.json)
    if result.failed:
        first = result.failures[0]
        raise ShardsFailedError(
            f"{result.failed} of {result.shards} shards failed (shard {first.shard}: "
            f"{first.reason}); repeat the command with --retry once that is mended"
        )
