"""``check``: the data, and the training tried out on a few images, before a long run.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import DataError, InputError, UnknownNameError
from cliptune.finetuning.options import METHODS, FinetuneOptions
from cliptune.system.bounds import INNER_SHARE, MAX_SEED, require_count, require_number
from cliptune.workflows.dataset import data_name, open_learnable
from cliptune.workflows.options import ComputeOptions, DataOptions, Prompts, read_prompts
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.prompting import choose_one_template_set
from cliptune.workflows.requirements import require_class_names, require_trainable
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.checks import CheckResult
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.images import ImageTable, ScanReport
    from cliptune.results.checked import CheckReport
    from cliptune.splits.partition import Partition
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = ["check", "collect_checks", "require_none_failed", "trains"]


def check(
    data: Data,
    *,
    method: str = "full",
    options: FinetuneOptions | None = None,
    model: Model = "lite",
    val: float = 0.2,
    prompts: Prompts = (),
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> CheckReport:
    """Look at the data, and try the training out on a few images; no weight changes.

    Args:
        data: A data set by name, or a table.
        method: ``full``, ``lora`` or ``head-then-full``: the training to try out; the name of a
            head looks at the data only.
        options: Of that training; their method counts.
        model: Which encoder, by name.
        val: Share of the training images cut for validation where there is no such split.
        prompts: How class names become texts.
        out: Folder for the results and a picture of what the model sees; nothing is written
            without.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        seed: Of everything random.
        progress: A callback, or True for bars.

    Returns:
        One outcome a check; whether some failed is for the caller to ask.

    Raises:
        CliptuneError: Data, options, model or place do not fit; the message says which.
    """
    from cliptune.runs.place import hold_place

    template_set = choose_one_template_set(read_prompts(prompts), "check")
    require_class_names(dataset)
    require_number("--val", val, **INNER_SHARE)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    require_trainable(compute, model)
    if not trains(method):
        if options is not None:
            raise InputError(f"--method {method} looks at the data only and takes no options")
    elif options is None:
        options = FinetuneOptions(method=method, precision=compute.precision, seed=seed)
    else:
        method = options.method
    place = None if out is None else Path(out)
    session = Session(compute, watching(progress))
    with nullcontext() if place is None else hold_place(place):
        return _check(
            data, model, method, options, place, session,
            val=val, templates=template_set.templates, dataset=dataset, seed=seed,
        )  # fmt: skip


def trains(method: str) -> bool:
    """Tell whether a method moves the model's weights.

    Raises:
        UnknownNameError: There is no such method.
    """
    from cliptune.heads import HEADS

    if method in METHODS:
        return True
    if method not in HEADS:
        raise UnknownNameError("method", method, [*METHODS, *HEADS])
    return False


def _check(
    data: Data,
    model: Model,
    method: str,
    options: FinetuneOptions | None,
    out: Path | None,
    session: Session,
    *,
    val: float,
    templates: tuple[str, ...],
    dataset: DataOptions,
    seed: int,
) -> CheckReport:
    """Look at data and set-up, and keep what was found where that was asked for."""
    from cliptune.finetuning.preflight import require_model_fits
    from cliptune.results.checked import CheckReport
    from cliptune.runs import RunDir
    from cliptune.splits.partition import partition_table, rehearse_partition
    from cliptune.workflows.own_weights import open_untrained

    table = open_learnable(data, dataset, session.watch)
    rehearse_partition(table, val_fraction=val, seed=seed)
    encoder = session.open_trainable_encoder(model)
    if options is not None:
        require_model_fits(encoder.model, options)
    report, table = _read_all(table, session)
    frozen = open_untrained(session, encoder, table)
    vectors = session.embed(frozen, table, on_bad_image="fail").features.vectors
    partition = partition_table(table, vectors, val_fraction=val, seed=seed)
    for sentence in partition.notes:
        session.watch.note(sentence)
    asked = {
        "command": "check",
        "data": data_name(data),
        "model": encoder.name,
        "method": method,
    }
    digest = {"data_digest": table.digest()}
    run = None if out is None else RunDir.create(out, {**asked, **digest})
    results = collect_checks(
        encoder,
        frozen,
        session,
        table,
        partition,
        report=report,
        templates=templates,
        options=options,
        folder=out,
        seed=seed,
    )
    found = CheckReport(task="check", **asked, checks=tuple(results))
    if run is not None:
        run.write_json("checks.json", found.to_dict())
        run.finish({"seed": seed})
    return found


def _read_all(table: ImageTable, session: Session) -> tuple[ScanReport, ImageTable]:
    """Decode every image once; what cannot be read is reported and left out."""
    from cliptune.images import drop_bad, scan_images

    with session.watch.stage("reading") as show:
        report = scan_images(table, progress=show)
    return report, drop_bad(table, report)


def collect_checks(
    encoder: TorchEncoder,
    frozen: DualEncoder,
    session: Session,
    table: ImageTable,
    partition: Partition,
    *,
    report: ScanReport,
    templates: tuple[str, ...],
    options: FinetuneOptions | None,
    folder: Path | None,
    seed: int,
) -> list[CheckResult]:
    """Run all checks; rows of images come from the cache.

    Args:
        encoder: In fp32.
        frozen: What embeds with its weights.
        session: Holds the cache.
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
    with session.watch.stage("checking", "checks") as show:
        show(0, len(CHECK_NAMES))
        for result in run_checks(
            encoder,
            replace(table, splits=roles),
            templates=templates,
            options=options,
            folder=folder,
            seed=seed,
            report=report,
            embed=lambda images: session.store.features(frozen, images).vectors,
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
