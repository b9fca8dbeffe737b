"""``cliptune sweep``: which rate, which part frozen, and why."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from cliptune.cli.console import print_json
from cliptune.cli.early import require_class_names, require_compute, require_trainable
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import choose_one_template_set
from cliptune.cli.sweep_run import SweepRequest, run_sweep
from cliptune.cli.sweep_tables import show_sweep
from cliptune.errors import InputError

if TYPE_CHECKING:
    from cliptune.sweep.options import SweepOptions

__all__ = ["sweep"]

_DEFAULT_TRIALS = 24
_DEFAULT_SEEDS = 3
# Options that mean nothing to a method: one is solved exactly, the others train no stacks.
_STACKS = ("products", "max_memory")
_WITHOUT = {
    "linear": ("seeds", "epochs", "batch_size", "optimizer", *_STACKS),
    "full": _STACKS,
    "lora": _STACKS,
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """How trials train."""

    epochs: Annotated[int | None, whole(1)] = None
    """Passes over the training images; 20 for heads, at most 5 for moving weights."""

    batch_size: Annotated[int | None, whole(1)] = None
    """Images a step; 256 for heads, 64 for moving weights."""

    optimizer: Literal["sgd", "adamw"] | None = None
    """sgd for heads, adamw for moving weights."""

    start: Literal["identity", "random"] = "identity"
    """How the layers of dual-linear begin."""

    products: Literal["auto", "fp32", "bf16"] = "fp32"
    """Factors of the products of stacked heads; auto is bf16 where the processor has it."""

    max_memory: str = "1G"
    """Bound on one stack of heads; a larger grid trains in several stacks."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions:
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
    trials: Annotated[int | None, whole(1)] = None,
    seeds: Annotated[int | None, whole(1)] = None,
    budget: str | None = None,
    train_images: Annotated[int | None, whole(1)] = None,
    val: Annotated[float, number(above=0, below=1)] = 0.2,
    out: Path | None = None,
    training: TrialOptions = TrialOptions(),
    kept: StudyOptions = StudyOptions(),
    dataset: DataOptions = DataOptions(),
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
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
        dataset: How to read the data set.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
    """
    began = time.monotonic()
    template_set = choose_one_template_set(prompts, "sweep")

    from cliptune.run_place import claim_place
    from cliptune.sweep.connect import require_address
    from cliptune.sweep.options import TOWER_METHODS, parse_seconds, read_grid

    options = _trial_options(method, search, trials, seeds, training, output.seed)
    request = SweepRequest(
        data=data,
        options=options,
        grid=read_grid(grid, options),
        began=began,
        seconds=parse_seconds(budget) if budget is not None else _default_budget(method),
        n_images=train_images,
        val_fraction=val,
        storage=kept.storage,
        study=kept.study,
        template_set=template_set,
        dataset=dataset,
        model=model,
        json=output.json,
    )
    require_class_names(dataset)
    if method in TOWER_METHODS:
        require_trainable(model)
    else:
        require_compute(model, [model.model])
    if kept.storage is not None:
        require_address(kept.storage)
    with claim_place(out, "sweep", data) as place:
        result = run_sweep(request, place)
    if output.json:
        print_json(result)
    else:
        show_sweep(result)


def _trial_options(
    method: str,
    search: Literal["grid", "tpe"],
    trials: int | None,
    seeds: int | None,
    training: TrialOptions,
    seed: int,
) -> SweepOptions:
    from cliptune.sweep.options import TOWER_METHODS, SweepOptions, parse_bytes

    _refuse_unused(method, training, seeds)
    if trials is not None and search != "tpe":
        raise InputError(
            "--trials came without --search tpe; a grid has as many points as it names"
        )
    moves = method in TOWER_METHODS
    asked = {
        "epochs": training.epochs if training.epochs is not None else 5 if moves else 20,
        "batch_size": training.batch_size
        if training.batch_size is not None
        else 64
        if moves
        else 256,
        "optimizer": training.optimizer or ("adamw" if moves else "sgd"),
        "products": _fastest_products() if training.products == "auto" else training.products,
    }
    return SweepOptions(
        method=method,
        search=search,
        n_points=_DEFAULT_TRIALS if trials is None else trials,
        seeds=_DEFAULT_SEEDS if seeds is None else seeds,
        start=training.start,
        max_memory_bytes=parse_bytes(training.max_memory),
        seed=seed,
        **asked,  # type: ignore[arg-type]  # each its own type
    )


def _refuse_unused(method: str, training: TrialOptions, seeds: int | None) -> None:
    given = {f.name for f in fields(training) if getattr(training, f.name) != f.default}
    given |= {"seeds"} if seeds is not None else set()
    unused = [name for name in _WITHOUT.get(method, ()) if name in given]
    if unused:
        names = ", ".join("--" + name.replace("_", "-") for name in unused)
        raise InputError(
            f"--method {method} takes no {names}; leave it out, or sweep another method"
        )


def _fastest_products() -> str:
    import torch

    has = torch.cpu.get_capabilities()
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def _default_budget(method: str) -> float:
    from cliptune.sweep.options import TOWER_METHODS, parse_seconds

    return parse_seconds("30m") if method in TOWER_METHODS else float("inf")
