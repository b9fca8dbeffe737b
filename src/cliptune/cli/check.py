"""``cliptune check``: look at data and training set-up before a long run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cliptune.cli.console import note, print_json, print_table, progress_bar
from cliptune.cli.early import require_class_names, require_trainable
from cliptune.cli.finetune_options import TuningOptions, make_finetune_options, refuse_for_head
from cliptune.cli.numbers import number
from cliptune.cli.open_data import open_learnable
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    choose_one_template_set,
    embed_table,
    open_store,
    open_trainable_encoder,
)
from cliptune.errors import DataError, InputError, UnknownNameError
from cliptune.finetune.options import METHODS

if TYPE_CHECKING:
    from cliptune.checks import CheckResult
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.features import FeatureStore
    from cliptune.finetune.options import FinetuneOptions
    from cliptune.images import ImageTable, ScanReport
    from cliptune.protocol import Partition

__all__ = ["check", "collect_checks", "require_none_failed"]


def check(
    data: str,
    /,
    *,
    method: str = "full",
    val: Annotated[float, number(above=0, below=1)] = 0.2,
    lr: str | None = None,
    weight_decay: Annotated[float | None, number(at_least=0)] = None,
    out: Path | None = None,
    dataset: DataOptions = DataOptions(),
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
    tuning: TuningOptions = TuningOptions(),
) -> None:
    """Look at the data, and try the training out on a few images.

    Nothing is kept and no weight changes. Exit code 0 when no check failed, warnings included;
    2 when one did.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        method: full, lora or head-then-full: the training to try out; the name of a head looks
            at the data only.
        val: Share of the training images cut for validation where there is no such split.
        lr: Learning rate, one number or GROUP=NUMBER[,GROUP=NUMBER...].
        weight_decay: Of the optimiser.
        out: Folder for the results and a picture of what the model sees.
        dataset: How to read the data set.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
        tuning: How the model would be trained.
    """
    template_set = choose_one_template_set(prompts, "check")
    options = None
    require_class_names(dataset)
    require_trainable(model)
    if not _trains(method):
        refuse_for_head(method, tuning)
        if lr is not None or weight_decay is not None:
            raise InputError(
                f"--method {method} looks at the data only and takes no --lr and no --weight-decay"
            )
    else:
        options = make_finetune_options(
            tuning,
            method=method,
            lr=lr,
            weight_decay=weight_decay,
            precision=model.precision,
            seed=output.seed,
        )

    from cliptune.run_place import hold_place

    with nullcontext() if out is None else hold_place(out):
        results = _check(
            data, method, options, out,
            val=val, templates=template_set.templates,
            dataset=dataset, model=model, output=output,
        )  # fmt: skip
    require_none_failed(results)


def _check(
    data: str,
    method: str,
    options: FinetuneOptions | None,
    out: Path | None,
    *,
    val: float,
    templates: tuple[str, ...],
    dataset: DataOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> Sequence[CheckResult]:
    """Look at data and set-up, show what was found and keep it where that was asked for."""
    from cliptune.finetune.preflight import require_model_fits
    from cliptune.protocol import partition_table, rehearse_partition
    from cliptune.runs import RunDir

    table = open_learnable(data, dataset)
    rehearse_partition(table, val_fraction=val, seed=output.seed)
    encoder, store = open_trainable_encoder(model), open_store(model)
    if options is not None:
        require_model_fits(encoder.model, options)
    report, table = _read_all(table)
    vectors = embed_table(encoder, table, store, on_bad_image="fail").features.vectors
    partition = partition_table(table, vectors, val_fraction=val, seed=output.seed)
    for sentence in partition.notes:
        note(sentence)
    asked = {"command": "check", "data": data, "model": encoder.name, "method": method}
    digest = {"data_digest": table.digest()}
    run = None if out is None else RunDir.create(out, {**asked, **digest})
    results = collect_checks(
        encoder,
        store,
        table,
        partition,
        report=report,
        templates=templates,
        options=options,
        folder=out,
        seed=output.seed,
    )
    found = {"task": "check", **asked, "checks": [result.to_dict() for result in results]}
    if run is not None:
        run.write_json("checks.json", found)
        run.finish({"seed": output.seed})
    if output.json:
        print_json(found)
    else:
        _show(data, results)
    return results


def _trains(method: str) -> bool:
    from cliptune.heads import HEADS

    if method in METHODS:
        return True
    if method not in HEADS:
        raise UnknownNameError("method", method, [*METHODS, *HEADS])
    return False


def _read_all(table: ImageTable) -> tuple[ScanReport, ImageTable]:
    """Decode every image once; what cannot be read is reported and left out."""
    from cliptune.images import drop_bad, scan_images

    with progress_bar("reading") as show:
        report = scan_images(table, progress=show)
    return report, drop_bad(table, report)


def collect_checks(
    encoder: TorchEncoder,
    store: FeatureStore,
    table: ImageTable,
    partition: Partition,
    *,
    report: ScanReport,
    templates: tuple[str, ...],
    options: FinetuneOptions | None,
    folder: Path | None,
    seed: int,
) -> list[CheckResult]:
    """Run all checks with a bar; rows of images come from the cache.

    Args:
        encoder: In fp32.
        store: The cache.
        table: Readable images.
        partition: Who may see which of them.
        report: Which images cannot be read.
        templates: Texts with one ``{}`` each.
        options: Of the training to try out, or nothing.
        folder: Where the contact sheet goes, or nothing.
        seed: Of samples and folds.
    """
    import numpy as np

    from cliptune.checks import CHECK_NAMES, run_checks

    roles = np.full(len(table), "test", dtype="<U5")
    roles[partition.train], roles[partition.val] = "train", "val"
    results: list[CheckResult] = []
    with progress_bar("checking", "checks") as show:
        show(0, len(CHECK_NAMES))
        for result in run_checks(
            encoder,
            replace(table, splits=roles),
            templates=templates,
            options=options,
            folder=folder,
            seed=seed,
            report=report,
            embed=lambda images: store.features(encoder, images).vectors,
        ):
            results.append(result)
            show(len(results), len(CHECK_NAMES))
    return results


def require_none_failed(results: Sequence[CheckResult], remedy: str = "") -> None:
    """Make sure that no check failed.

    Raises:
        DataError: Some did; the message says what the first means and what to do.
    """
    failed = [result for result in results if result.status == "failed"]
    if failed:
        names = ", ".join(result.name for result in failed)
        raise DataError(
            f"{len(failed)} of {len(results)} checks failed ({names}): {failed[0].meaning} "
            f"{failed[0].advice}{remedy}"
        )


def _show(data: str, results: Sequence[CheckResult]) -> None:
    print_table(
        f"Checks of {data}",
        ("check", "status", "meaning", "advice"),
        [(r.name, r.status, r.meaning, r.advice) for r in results],
    )
