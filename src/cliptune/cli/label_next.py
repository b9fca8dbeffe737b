"""``cliptune label-next``: which images to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cliptune.cli.console import print_result
from cliptune.cli.numbers import whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output
from cliptune.workflows.label_next import label_next as choose
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["label_next"]


def label_next(
    data: str,
    /,
    *,
    run: Path | None = None,
    n: Annotated[int, whole()] = 50,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """List the images whose labels teach most, and the labels to look at again.

    Images of the test are never proposed. 'cliptune relabel' reads the answers.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        run: A classifier to start from; it brings its encoder and classes.
        n: How many images.
        model: Which encoder, without a run.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        output: How results are shown.
    """
    found = choose(
        data,
        run=run,
        n=n,
        model=model,
        dataset=dataset,
        compute=compute,
        seed=output.seed,
        progress=TerminalWatch(),
    )
    print_result(found, as_json=output.json)
