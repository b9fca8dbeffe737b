"""``cliptune sweep``: which rate, which part frozen, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cliptune.cli.console import note, print_json, print_result, print_text
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output, Templates
from cliptune.system.bounds import INNER_SHARE
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.sweep import sweep as sweep_rates

__all__ = ["sweep"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """How trials train."""

    epochs: Annotated[int | None, whole()] = None
    """Passes over the training images; 20 for heads, at most 5 for moving weights."""

    batch_size: Annotated[int | None, whole()] = None
    """Images a step; 256 for heads, 64 for moving weights."""

    optimizer: Literal["sgd", "adamw"] | None = None
    """sgd for heads, adamw for moving weights."""

    start: Literal["identity", "random"] = "identity"
    """How the layers of dual-linear begin."""

    products: Literal["auto", "fp32", "bf16"] = "fp32"
    """Factors of the products of stacked heads; auto is bf16 where the processor has it."""

    blocks: Annotated[int | None, whole()] = None
    """Move only so many last blocks of the image tower, which costs a fraction; of full."""

    max_memory: str = "1G"
    """Bound on one stack of heads; a larger grid trains in several stacks."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """Where trials are kept, for later and for other workers."""

    storage: str | None = None
    """sqlite:///PATH or postgresql://USER@HOST/DATABASE; a file in the cache otherwise."""

    study: str | None = None
    """Name of the study there; METHOD-DATA otherwise."""


def sweep(
    data: str,
    /,
    *,
    method: str = "dual-linear",
    grid: str | None = None,
    search: Literal["grid", "tpe"] = "grid",
    trials: Annotated[int | None, whole()] = None,
    seeds: Annotated[int | None, whole()] = None,
    budget: str | None = None,
    train_images: Annotated[int | None, whole()] = None,
    val: Annotated[float, number(**INNER_SHARE)] = 0.2,
    out: Path | None = None,
    training: TrialOptions = TrialOptions(),
    kept: StorageOptions = StorageOptions(),
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Sweep learning rates and what stays frozen; end in advice with its uncertainty.

    Everything is judged on validation; the test stays locked and is not looked at. Trials are
    kept: the same command again goes on, and started twice at once shares the work.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        method: dual-linear, linear-sgd, attention or linear (its penalty) on cached features;
            full or lora move the model's weights.
        grid: Values to try, such as "lr=1e-4..1e0:9 wd=0,1e-4"; full and lora take
            "backbone=0,1e-5,1e-4 head=1e-3,1e-2".
        search: Every combination, or points chosen by Optuna's sampler within the ranges.
        trials: Points that tpe tries; 24 otherwise.
        seeds: Trainings of each point; 3 otherwise.
        budget: Time for everything, such as 90s, 30m or 1h; moving weights take 30m otherwise.
        train_images: Use only so many training images, drawn by class; validation is cut
            from them.
        val: Share of the training images cut for validation where there is no such split.
        out: Folder for tables and figures; runs/sweep-... otherwise.
        training: How trials train.
        kept: Where trials are kept.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            or a local path.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how the encoder computes.
        output: How results are shown.
    """
    result = sweep_rates(
        data,
        method=method,
        grid=grid,
        search=search,
        trials=trials,
        seeds=seeds,
        **asdict(training),
        budget=budget,
        train_images=train_images,
        val=val,
        **asdict(kept),
        model=model,
        prompts=prompts,
        out=out,
        dataset=dataset,
        compute=compute,
        seed=output.seed,
        progress=TerminalWatch(partial(_show_interrupted, as_json=output.json)),
    )
    print_result(result, as_json=output.json)


def _show_interrupted(so_far: object, *, as_json: bool) -> None:
    """Show what is known of a sweep that someone ended."""
    from cliptune.results.swept import SweepResult, describe_best

    if not isinstance(so_far, SweepResult):
        return
    note(f"{len(so_far.trials)} finished trials are kept; the same command goes on")
    if as_json:
        print_json(so_far.to_dict())
    elif so_far.best is not None:
        print_text(f"Best so far: {describe_best(so_far.best)}")
