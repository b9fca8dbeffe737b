"""``cliptune embed``: a data set's embeddings as a file that other tools read."""

from __future__ import annotations

from pathlib import Path

from cliptune.cli.console import print_result
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output
from cliptune.workflows.embed import embed as embed_data
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["embed"]


def embed(
    data: str,
    /,
    *,
    out: Path,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Embed every image once; a killed run goes on where it stopped.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        out: Folder for features.parquet: id, path, label, class name, split and vector.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            or a local path.
        dataset: How to read the data set; without --split all splits are embedded.
        compute: Where and how the encoder computes.
        output: How results are shown.
    """
    result = embed_data(
        data, model=model, out=out, dataset=dataset, compute=compute, progress=TerminalWatch()
    )
    print_result(result, as_json=output.json)
