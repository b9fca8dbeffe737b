"""``cliptune embed``: a data set's embeddings as a file that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cliptune.cli.console import print_result
from cliptune.cli.options import (
    Compute,
    Dataset,
    DatasetOptions,
    ModelName,
    Output,
    Shards,
    SharedShardOptions,
)
from cliptune.errors import InputError, ShardsFailedError
from cliptune.workflows.embed import embed as embed_data
from cliptune.workflows.embed_shards import PartOptions, embed_shards
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["embed"]


def embed(
    data: str,
    /,
    *,
    out: Path,
    dtype: Literal["float32", "float16"] | None = None,
    pixels: Literal["exact", "quick", "device"] | None = None,
    shard: str | None = None,
    stream: bool = False,
    shards: Shards = SharedShardOptions(),
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Embed every image once; a killed run goes on where it stopped.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        out: Folder for features.parquet: id, path, label, class name, split and vector; with an
            executor for one such file a shard and a manifest, without the cache.
        dtype: Of the vectors in the files of shards; float32 otherwise.
        pixels: exact: as the model's transform says; quick: in half of the time, one byte in 300
            another; device: JPEGs decoded on the CUDA device that computes. Otherwise, for 10,000
            images and more, quick where an engine computes, device where that is faster.
        shard: i/n, from 0/n: every n-th shard only, others are computed by other processes.
        stream: Each tar becomes a part, and its worker reads it: for tars in a folder, tars or
            class folders at s3:// and the like, and hf:OWNER/NAME, which nobody fetches whole.
        shards: Who computes parts; a killed job goes on, and its parts are the same.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            or a local path.
        dataset: How to read the data set; without --split all splits are embedded.
        compute: Where and how the encoder computes.
        output: How results are shown.
    """
    if shards.executor is not None:
        parts = PartOptions(
            dtype=dtype or "float32", pixels=pixels, shard=shard or "", stream=stream
        )
        _embed_shards(data, out, shards, parts, model, dataset, compute, output)
        return
    own = {"--dtype": dtype, "--pixels": pixels, "--shard": shard, "--stream": stream or None}
    if given := [name for name, value in own.items() if value is not None]:
        raise InputError(f"{', '.join(given)} came without --executor; add --executor local or ray")
    result = embed_data(
        data, model=model, out=out, dataset=dataset, compute=compute, progress=TerminalWatch()
    )
    print_result(result, as_json=output.json)


def _embed_shards(
    data: str,
    out: Path,
    shards: SharedShardOptions,
    parts: PartOptions,
    model: str,
    dataset: DatasetOptions,
    compute: ComputeOptions,
    output: Output,
) -> None:
    """Run a job, and leave with code 1 where a shard failed.

    Raises:
        ShardsFailedError: A shard failed; the others are done.
    """
    result = embed_shards(
        data, out, shards, parts=parts, model=model, dataset=dataset, compute=compute,
        progress=TerminalWatch(),
    )  # fmt: skip
    print_result(result, as_json=output.json)
    if result.failed:
        first = result.failures[0]
        raise ShardsFailedError(
            f"{result.failed} of {result.shards} shards failed (shard {first.shard}: "
            f"{first.reason}); repeat the command with --retry once that is mended"
        )
