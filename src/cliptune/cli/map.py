"""``cliptune map``: images and texts in one plane, the gap in numbers, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cliptune.cli.console import print_result
from cliptune.cli.numbers import whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelNames, Output, Templates
from cliptune.workflows.map import map as map_gap
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["map"]


def map(
    data: str,
    /,
    *,
    model: ModelNames = (),
    run: tuple[Path, ...] = (),
    method: Literal["pca", "umap", "tsne"] = "pca",
    fit: Literal["first", "all"] = "first",
    sample: Annotated[int | None, whole()] = None,
    shift: bool = False,
    force: bool = False,
    export: Literal["atlas"] | None = None,
    out: Path | None = None,
    dataset: Dataset = DatasetOptions(),
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Draw images and texts in one plane, and measure how far apart and how alike they are.

    Several encoders or runs are drawn side by side and compared; the first is the "before".

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets';
            with class labels, or with captions.
        model: Encoder; give several to compare them. Without it lite, or what the first run
            started from.
        run: Classifier that 'cliptune fit' wrote, set beside the encoder; can be given several
            times.
        method: How the space becomes a plane.
        fit: Fit the plane on the first view, or on all.
        sample: Draw this many images, class by class.
        shift: Also move images and texts along the gap and score each step.
        force: Compare runs although they saw different data.
        export: Also print the command that opens the points in Embedding Atlas.
        out: Folder for figures, numbers and points; runs/map-... otherwise.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how encoders compute.
        output: How results are shown.
    """
    result = map_gap(
        data,
        model=model,
        run=run,
        method=method,
        fit=fit,
        sample=sample,
        shift=shift,
        force=force,
        export=export,
        prompts=prompts,
        out=out,
        dataset=dataset,
        compute=compute,
        seed=output.seed,
        progress=TerminalWatch(),
    )
    print_result(result, as_json=output.json)
