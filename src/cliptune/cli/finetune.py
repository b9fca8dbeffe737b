"""``cliptune finetune``: train the model itself; ``fit --method full`` and the like do the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cliptune.cli.console import print_result
from cliptune.cli.finetune_events import TrainingNotes
from cliptune.cli.finetune_options import RunOptions, TuningOptions, make_finetune_options
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output, Templates
from cliptune.system.bounds import INNER_SHARE
from cliptune.workflows.finetune import finetune as finetune_model
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.requirements import require_trainable

__all__ = ["USUAL_CUT", "finetune", "train_model"]

USUAL_CUT = 0.2


def finetune(
    data: str,
    /,
    *,
    method: Literal["full", "lora", "head-then-full"] | None = None,
    val: Annotated[float, number(**INNER_SHARE)] = USUAL_CUT,
    lr: str | None = None,
    weight_decay: Annotated[float | None, number()] = None,
    epochs: Annotated[int | None, whole()] = None,
    abstain_precision: Annotated[float | None, number()] = None,
    out: Path | None = None,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
    tuning: TuningOptions = TuningOptions(),
    around: RunOptions = RunOptions(),
) -> None:
    """Train the model itself: all of it, low-rank updates, or a head and then all of it.

    Everything is chosen on validation; the test split stays locked until the end.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        method: full, lora or head-then-full; usually full, and the last where --train, --unfreeze
            or --lr names a head, which only it has.
        val: Share of the training images cut for validation where there is no such split.
        lr: Learning rate, one number or GROUP=NUMBER[,GROUP=NUMBER...], e.g.
            head=1e-2,image=1e-5,text=0.
        weight_decay: Of the optimiser.
        epochs: Passes over the training images.
        abstain_precision: Choose a threshold below which the classifier abstains, so that this
            share of its answers is right on held-out images.
        out: Folder for the classifier; runs/fit-... otherwise.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            or a local path.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how the encoder computes.
        output: How results are shown.
        tuning: How the model is trained.
        around: What surrounds that training.
    """
    train_model(
        data,
        method,
        (tuning, around, output),
        lr=lr,
        weight_decay=weight_decay,
        epochs=epochs,
        val=val,
        abstain_precision=abstain_precision,
        out=out,
        model=model,
        dataset=dataset,
        prompts=prompts,
        compute=compute,
    )


def train_model(
    data: str,
    method: str | None,
    options: tuple[TuningOptions, RunOptions, Output],
    *,
    lr: str | None,
    weight_decay: float | None,
    epochs: int | None,
    model: str,
    compute: ComputeOptions,
    **shared: Any,  # Any: what is handed on as it is
) -> None:
    """Read the options of a training, train, and show what came out."""
    tuning, around, output = options
    require_trainable(compute, model)
    read = make_finetune_options(
        tuning,
        method=method,
        lr=lr,
        weight_decay=weight_decay,
        epochs=epochs,
        precision=compute.precision,
        seed=output.seed,
        checkpoint_seconds=around.checkpoint_seconds,
    )
    result = finetune_model(
        data,
        method=read.method,
        options=read,
        model=model,
        watched=around.watch,
        track=around.track,
        resume=around.resume,
        check=around.check,
        activations=around.activations,
        max_disk=around.max_disk,
        compute=compute,
        progress=TerminalWatch(TrainingNotes(read.epochs)),
        **shared,
    )
    if result is not None:  # only the first of several processes has one
        print_result(result, as_json=output.json)
