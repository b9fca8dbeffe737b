"""``sweep``: which rate, which part frozen, and why.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.errors import InputError
from cliptune.system.allocator import freed_memory_kept
from cliptune.system.bounds import INNER_SHARE, require_count, require_number
from cliptune.workflows.dataset import data_name
from cliptune.workflows.options import ComputeOptions, DataOptions, Prompts, read_prompts
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.prompting import choose_one_template_set
from cliptune.workflows.requirements import (
    require_class_names,
    require_compute,
    require_trainable,
)
from cliptune.workflows.session import Session
from cliptune.workflows.sweep_run import SweepRequest, run_sweep

if TYPE_CHECKING:
    from cliptune.results.swept import SweepResult
    from cliptune.sweeps.options import SweepOptions
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

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


def sweep(
    data: Data,
    *,
    method: str = "dual-linear",
    grid: str | None = None,
    search: Literal["grid", "tpe"] = "grid",
    trials: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: Literal["sgd", "adamw"] | None = None,
    start: Literal["identity", "random"] = "identity",
    products: Literal["auto", "fp32", "bf16"] = "fp32",
    max_memory: str = "1G",
    blocks: int | None = None,
    budget: str | None = None,
    train_images: int | None = None,
    val: float = 0.2,
    storage: str | None = None,
    study: str | None = None,
    model: Model = "lite",
    prompts: Prompts = (),
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> SweepResult:
    """Sweep learning rates and what stays frozen; end in advice with its uncertainty.

    Everything is judged on validation; the test stays locked and is not looked at. Trials are
    kept: the same call again goes on, and made twice at once shares the work.

    Args:
        data: A data set by name, or a table.
        method: ``dual-linear``, ``linear-sgd``, ``attention`` or ``linear`` (its penalty) on
            cached features; ``full`` or ``lora`` move the model's weights.
        grid: Values to try, such as ``"lr=1e-4..1e0:9 wd=0,1e-4"``; ``full`` and ``lora`` take
            ``"backbone=0,1e-5,1e-4 head=1e-3,1e-2"``.
        search: Every combination, or points chosen by Optuna's sampler within the ranges.
        trials: Points that ``tpe`` tries; 24 otherwise.
        seeds: Trainings of each point; 3 otherwise.
        epochs: Passes over the training images; 20 for heads, at most 5 for moving weights.
        batch_size: Images a step; 256 for heads, 64 for moving weights.
        optimizer: ``sgd`` for heads, ``adamw`` for moving weights.
        start: How the layers of ``dual-linear`` begin.
        products: Factors of the products of stacked heads; ``auto`` is bf16 where the processor
            has it.
        max_memory: Bound on one stack of heads; a larger grid trains in several stacks.
        blocks: Move only so many last blocks of the image tower; of ``full``.
        budget: Time for everything, such as ``90s`` or ``1h``; moving weights take 30m otherwise.
        train_images: Use only so many training images, drawn by class.
        val: Share of the training images cut for validation where there is no such split.
        storage: ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``; a file in the cache
            otherwise.
        study: Name of the study there; METHOD-DATA otherwise.
        model: Which encoder, by name; a head may sit on a loaded one.
        prompts: How class names become texts.
        out: Folder for tables and figures; ``runs/sweep-...`` otherwise.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        seed: First of the seeds.
        progress: A callback, or True for bars; interrupted, it also gets the unfinished
            ``SweepResult`` before the interrupt goes on.

    Raises:
        CliptuneError: Data, options, model or place do not fit; the message says which.
        KeyboardInterrupt: Finished trials are kept.
    """
    from cliptune.runs.place import claim_place
    from cliptune.sweeps.options import parse_seconds, read_grid

    began = time.monotonic()
    template_set = choose_one_template_set(read_prompts(prompts), "sweep")
    options = _Asked(
        method, search, trials, seeds, epochs, batch_size, optimizer, start, products, max_memory,
        blocks, seed,
    ).trial_options()  # fmt: skip
    if train_images is not None:
        require_count("--train-images", train_images)
    require_number("--val", val, **INNER_SHARE)
    request = SweepRequest(
        data=data,
        model=model,
        options=options,
        grid=read_grid(grid, options),
        began=began,
        seconds=parse_seconds(budget) if budget is not None else _default_budget(method),
        n_images=train_images,
        val_fraction=val,
        storage=storage,
        study=study,
        template_set=template_set,
        dataset=dataset,
    )
    require_class_names(dataset)
    _require_place(method, model, compute, storage)
    session = Session(compute, watching(progress))
    place = None if out is None else Path(out)
    with claim_place(place, "sweep", data_name(data)) as claimed, freed_memory_kept():
        return run_sweep(request, claimed, session)


def _require_place(method: str, model: Model, compute: ComputeOptions, storage: str | None) -> None:
    from cliptune.sweeps.connect import require_address
    from cliptune.sweeps.options import TOWER_METHODS

    if method in TOWER_METHODS:
        require_trainable(compute, model)
    else:
        require_compute(compute, [model])
    if storage is not None:
        require_address(storage)


@dataclass(frozen=True)
class _Asked:
    """How trials train, as it was asked for; the arguments of ``sweep``."""

    method: str
    search: Literal["grid", "tpe"]
    trials: int | None
    seeds: int | None
    epochs: int | None
    batch_size: int | None
    optimizer: Literal["sgd", "adamw"] | None
    start: Literal["identity", "random"]
    products: Literal["auto", "fp32", "bf16"]
    max_memory: str
    blocks: int | None
    seed: int

    def trial_options(self) -> SweepOptions:
        """Return what all trials share; what was not given hangs on the method."""
        from cliptune.sweeps.options import TOWER_METHODS, SweepOptions, parse_bytes

        self._require_useful()
        moves = self.method in TOWER_METHODS
        usual = (5, 64) if moves else (20, 256)
        return SweepOptions(
            method=self.method,
            search=self.search,
            n_points=_DEFAULT_TRIALS if self.trials is None else self.trials,
            seeds=_DEFAULT_SEEDS if self.seeds is None else self.seeds,
            epochs=usual[0] if self.epochs is None else self.epochs,
            batch_size=usual[1] if self.batch_size is None else self.batch_size,
            optimizer=self.optimizer or ("adamw" if moves else "sgd"),
            start=self.start,
            products=_fastest_products() if self.products == "auto" else self.products,
            max_memory_bytes=parse_bytes(self.max_memory),
            blocks=self.blocks,
            seed=self.seed,
        )

    def _require_useful(self) -> None:
        """Make sure that each option means something to the method, and numbers are some."""
        usual = {"products": "fp32", "max_memory": "1G"}
        unused = [
            name for name in _WITHOUT.get(self.method, ()) if getattr(self, name) != usual.get(name)
        ]
        if unused:
            names = ", ".join("--" + name.replace("_", "-") for name in unused)
            raise InputError(
                f"--method {self.method} takes no {names}; leave it out, or sweep another method"
            )
        for option, number in (("--epochs", self.epochs), ("--batch-size", self.batch_size)):
            if number is not None:
                require_count(option, number)
        if self.trials is not None and self.search != "tpe":
            raise InputError(
                "--trials came without --search tpe; a grid has as many points as it names"
            )


def _fastest_products() -> Literal["fp32", "bf16"]:
    import torch

    has = torch.cpu.get_capabilities()
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def _default_budget(method: str) -> float:
    from cliptune.sweeps.options import TOWER_METHODS, parse_seconds

    return parse_seconds("30m") if method in TOWER_METHODS else float("inf")
