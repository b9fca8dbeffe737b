"""``cliptune sweep``: which rate, which part frozen, and why."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from cliptune.cli.console import note, percent, print_json, print_table, print_text, progress_bar
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    choose_one_template_set,
    embed_table,
    embed_tokens,
    open_encoder,
    open_store,
    open_trainable_encoder,
    open_whole_table,
    text_encoder,
)

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.fitting import Task
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet
    from cliptune.sweep.grid import Grid
    from cliptune.sweep.head_sweep import HeadSweep
    from cliptune.sweep.options import SweepOptions
    from cliptune.sweep.records import Trial
    from cliptune.sweep.report import Conclusion
    from cliptune.sweep.tower_sweep import TowerSweep

__all__ = ["sweep"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """How trials train."""

    epochs: int | None = None
    """Passes over the training images; 20 for heads, at most 5 for moving weights."""

    batch_size: int | None = None
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
    trials: int = 24,
    seeds: int = 3,
    budget: str | None = None,
    train_images: int | None = None,
    val: float = 0.2,
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
        trials: Points that tpe tries.
        seeds: Trainings of each point.
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

    from cliptune.runs import default_run_path, require_free_place
    from cliptune.sweep.options import parse_seconds, read_grid

    options = _trial_options(method, search, trials, seeds, training, output.seed)
    parsed = read_grid(grid, options)
    seconds = parse_seconds(budget) if budget is not None else _default_budget(method)
    place = out or default_run_path("sweep", data)
    require_free_place(place)
    prepared = _prepare(
        data,
        options,
        template_set,
        val,
        train_images,
        dataset=dataset,
        model=model,
        seed=output.seed,
    )
    for sentence in prepared.notes:
        note(sentence)
    one = _open_sweep(prepared, parsed, options, began=began, seconds=seconds)
    identity = {"data": prepared.digest, **one.identity}
    address, name = _place_of_study(kept, model, data, method, identity)
    asked = {
        "command": "sweep",
        "data": data,
        "model": prepared.encoder.name,
        "precision": prepared.encoder.precision,
        "templates": {"name": template_set.name, "texts": list(template_set.templates)},
        "method": method,
        "grid": parsed.describe(),
        "search": search,
        "budget_seconds": seconds if seconds < float("inf") else None,
        "train_images": train_images,
        "val_fraction": val,
        "options": asdict(options),
        "seed": output.seed,
    }
    finished, facts = _run(one, address, name, identity)
    conclusion = one.conclude(finished)
    if facts["interrupted"]:
        _show_interrupted(conclusion, asked | facts, as_json=output.json)
        raise KeyboardInterrupt
    from cliptune.sweep.report import write_sweep

    facts |= {
        "class_names": list(prepared.task.class_names),
        "n_train": len(prepared.task.train),
        "n_val": len(prepared.task.val),
        "notes": [*prepared.notes, *facts["notes"]],
        "data_digest": prepared.digest,
        "encoder": prepared.encoder.fingerprint,
        "seconds": time.monotonic() - began,
    }
    result = write_sweep(place, asked, conclusion, facts)
    if output.json:
        print_json(result)
    else:
        _show(result)


@dataclass(frozen=True)
class _Prepared:
    """What a sweep learns from: the images it may see, and their features."""

    encoder: DualEncoder
    table: ImageTable
    task: Task
    templates: tuple[str, ...]
    notes: tuple[str, ...]
    digest: str


def _trial_options(
    method: str,
    search: Literal["grid", "tpe"],
    trials: int,
    seeds: int,
    training: TrialOptions,
    seed: int,
) -> SweepOptions:
    from cliptune.sweep.options import TOWER_METHODS, SweepOptions, parse_bytes

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
        n_points=trials,
        seeds=seeds,
        start=training.start,
        max_memory_bytes=parse_bytes(training.max_memory),
        seed=seed,
        **asked,  # type: ignore[arg-type]  # each its own type
    )


def _fastest_products() -> str:
    import torch

    has = torch.cpu.get_capabilities()
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def _default_budget(method: str) -> float:
    from cliptune.sweep.options import TOWER_METHODS, parse_seconds

    return parse_seconds("30m") if method in TOWER_METHODS else float("inf")


def _prepare(
    data: str,
    options: SweepOptions,
    template_set: TemplateSet,
    val_fraction: float,
    n_images: int | None,
    *,
    dataset: DataOptions,
    model: ModelOptions,
    seed: int,
) -> _Prepared:
    from cliptune.fitting import Task
    from cliptune.images import require_classes, require_labels
    from cliptune.prompts import ensemble_rows
    from cliptune.sweep.data import cut_seen, rows_to_embed, sweep_digest
    from cliptune.sweep.options import TOWER_METHODS

    whole = open_whole_table(data, dataset)
    require_labels(whole)
    require_classes(whole)
    table = whole.select(rows_to_embed(whole, n_images=n_images, seed=seed))
    moves = options.method in TOWER_METHODS
    encoder = open_trainable_encoder(model) if moves else open_encoder(model, table)
    store = open_store(model)
    embedded = embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image)
    table, vectors = embedded.table, embedded.features.vectors
    seen = cut_seen(
        table, vectors, whole=whole, n_images=n_images, val_fraction=val_fraction, seed=seed
    )
    tokens = embed_tokens(encoder, table, store) if options.method == "attention" else None
    encode = text_encoder(encoder, store, model)
    task = Task(
        vectors=vectors,
        tokens=tokens,
        labels=table.labels,
        class_names=table.class_names,
        text_rows=ensemble_rows(encode, table.class_names, template_set.templates),
        logit_scale=encoder.logit_scale,
        train=seen.train,
        val=seen.val,
        seed=seed,
    )
    digest = sweep_digest(table, seen, embedded.features.key)
    return _Prepared(encoder, table, task, tuple(template_set.templates), seen.notes, digest)


def _open_sweep(
    prepared: _Prepared, grid: Grid, options: SweepOptions, *, began: float, seconds: float
) -> HeadSweep | TowerSweep:
    from cliptune.sweep.options import TOWER_METHODS

    if options.method in TOWER_METHODS:
        from cliptune.sweep.tower_sweep import TowerSweep

        return TowerSweep(
            prepared.encoder,
            prepared.table,
            prepared.task,
            grid,
            options,
            templates=prepared.templates,
            began=began,
            budget_seconds=seconds,
        )
    from cliptune.sweep.head_sweep import HeadSweep

    return HeadSweep(prepared.task, grid, options, began=began, budget_seconds=seconds)


def _place_of_study(
    kept: StudyOptions, model: ModelOptions, data: str, method: str, identity: Mapping[str, Any]
) -> tuple[str, str]:  # Any: plain JSON values
    """Return address and name; a study's own file in the cache is named after what it holds."""
    import hashlib
    import json

    name = kept.study or f"{method}-{Path(data).stem}"
    if kept.storage is not None:
        return kept.storage, name
    from cliptune.paths import cache_dir

    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = (model.cache_dir or cache_dir()).absolute() / "sweeps"
    return f"sqlite:///{folder / f'{name}-{digest}.sqlite3'}", name


def _run(
    one: HeadSweep | TowerSweep, address: str, name: str, identity: Mapping[str, Any]
) -> tuple[list[Trial], dict[str, Any]]:  # Any: plain JSON values
    """Work on the study until nothing is left, the time is over, or someone presses Ctrl-C."""
    from cliptune.sweep.store import StudyStore

    interrupted = False
    notes: list[str] = []
    with StudyStore.open(address, name, identity) as store:
        before = len(store.trials())
        if before:
            note(f"study {name!r} holds {before} finished trials already; going on from there")
        worker = one.worker(store)
        try:
            with progress_bar("sweeping", "trials") as show:
                show(before, max(before, one.n_planned))
                for count, _ in enumerate(worker.run(), start=before + 1):
                    show(count, max(count, one.n_planned))
        except KeyboardInterrupt:
            interrupted = True
        finished = store.trials()
    if worker.out_of_time:
        notes.append("the budget ended before all trials were done; the same command goes on")
        note(notes[-1])
    facts = {
        "study": {"name": name, "storage": _without_password(address)},
        "n_trained_here": worker.n_trained,
        "complete": not (worker.out_of_time or interrupted),
        "interrupted": interrupted,
        "notes": notes,
    }
    return finished, facts


def _without_password(address: str) -> str:
    from sqlalchemy.engine import make_url

    shown: str = make_url(address).render_as_string(hide_password=True)
    return shown


def _show_interrupted(
    conclusion: Conclusion, asked: Mapping[str, Any], *, as_json: bool
) -> None:  # Any: plain JSON values
    from cliptune.sweep.report import summarise

    summary = summarise(conclusion)
    note(f"{len(summary['trials'])} finished trials are kept; the same command goes on")
    if as_json:
        print_json({"task": "sweep", **asked, **summary, "figures": {}})
    elif summary["best"] is not None:
        print_text(f"Best so far: {_describe_best(summary['best'])}")


def _show(result: Mapping[str, Any]) -> None:  # Any: plain JSON values
    rates = [name for name in result["grid"] if len(result["grid"][name]) > 1]
    print_table(
        f"{result['data']}: {result['n_train']} training, {result['n_val']} validation images; "
        f"{result['method']} on {result['model']}",
        (*rates, "seeds", "validation", "of them diverged", "seconds"),
        _rows(result["trials"], rates),
    )
    if result["best"] is not None:
        print_text(f"Best: {_describe_best(result['best'])}")
    print_text(result["recommendation"]["text"])
    print_text(f"Tables and figures: {result['run']}")


def _rows(trials: Iterable[Mapping[str, Any]], rates: list[str]) -> list[tuple[str, ...]]:
    by_point: dict[tuple[float, ...], list[Mapping[str, Any]]] = {}
    for trial in trials:
        if trial["purpose"] in ("grid", "extension"):
            by_point.setdefault(tuple(trial[name] for name in rates), []).append(trial)
    return [
        (
            *(f"{value:g}" for value in point),
            str(len(own)),
            percent(sum(t["val_accuracy"] for t in own) / len(own)),
            str(sum(t["diverged"] for t in own)),
            f"{sum(t['seconds'] for t in own):.2f}",
        )
        for point, own in sorted(by_point.items())
    ]


def _describe_best(best: Mapping[str, Any]) -> str:  # Any: plain JSON values
    rates = ", ".join(
        f"{name} {value:g}"
        for name, value in best.items()
        if name in ("lr", "wd", "penalty", "backbone", "head")
    )
    low, high = best["interval"]
    return (
        f"{rates}: {percent(best['val_accuracy'])} on {best['n']} validation images "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f}, {len(best['seeds'])} seeds)"
    )
