"""``cliptune evaluate``: scores of zero-shot, of a fitted classifier, or of retrieval."""

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
    Templates,
)
from cliptune.workflows.evaluate import evaluate as evaluate_data
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["evaluate"]


def evaluate(
    data: str,
    /,
    *,
    task: Literal["zero-shot", "retrieval"] = "zero-shot",
    run: Path | None = None,
    out: Path | None = None,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    shards: Shards = SharedShardOptions(),
    output: Output = Output(),
) -> None:
    """Score zero-shot classification, a fitted classifier or retrieval, with intervals.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        task: zero-shot classification of labelled images, or retrieval between images and their
            captions.
        run: A classifier that 'cliptune fit' wrote: it is scored, and zero-shot beside it; it
            brings its classes, texts and encoder.
        out: Folder for predictions and scores; runs/evaluate-... otherwise.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            a local path, or several of these with + between them, side by side.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how the encoder computes.
        shards: Who embeds the images that the cache lacks; a killed job goes on.
        output: How results are shown.
    """
    result = evaluate_data(
        data,
        task=task,
        run=run,
        model=model,
        prompts=prompts,
        out=out,
        dataset=dataset,
        compute=compute,
        shards=shards,
        seed=output.seed,
        progress=TerminalWatch(),
    )
    print_result(result, as_json=output.json)
