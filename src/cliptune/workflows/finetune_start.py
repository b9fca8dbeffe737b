"""Where a training of the model itself starts: its place, its data, the checks before it.

It knows what was asked for, and nothing about the training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.errors import InputError, RunError
from cliptune.finetuning.processes import launched_as
from cliptune.workflows.check import collect_checks, require_none_failed
from cliptune.workflows.dataset import data_name, open_learnable
from cliptune.workflows.options import DataOptions
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.finetuning.data import TrainingData
    from cliptune.finetuning.options import FinetuneOptions
    from cliptune.prompts import TemplateSet
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.finetune_run import FinetuneSettings, Start
    from cliptune.workflows.session import Model

__all__ = ["Checked", "FinetuneRequest", "begin_run", "check_first", "claim_run", "open_start"]

_CHECKS, _SHEET = "checks.json", "what-the-model-sees.jpg"


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """What was asked for.

    Attributes:
        data: The data set.
        model: Which encoder.
        options: Of the training.
        template_set: How class names become texts.
        val: Share of the training images cut for validation.
        abstain_precision: Wanted precision of answers, or None.
        watched: Data that are only looked at.
        track: Names of trackers.
        resume: The unfinished run to take up, or None.
        check: Whether data and set-up are looked at before.
        activations: Whether what frozen blocks give is kept.
        max_disk: Most bytes that it may take, or None.
        out: Where the run goes.
        dataset: How to read the data set.
        seed: Of everything random.
    """

    data: Data
    model: Model
    options: FinetuneOptions
    template_set: TemplateSet
    val: float
    abstain_precision: float | None
    watched: tuple[Data, ...]
    track: tuple[str, ...]
    resume: Path | None
    check: bool
    activations: bool
    max_disk: int | None
    out: Path | None
    dataset: DataOptions
    seed: int


@contextmanager
def claim_run(request: FinetuneRequest, rank: int, count: int) -> Iterator[Path]:
    """Give the run its folder, while the block lasts; of several processes the first keeps it.

    Raises:
        InputError: The options name no place, or two.
        RunError: Another process works there, there is a finished run, other files, or nothing
            to resume.
    """
    from cliptune.runs.place import claim_place

    resume, out = request.resume, request.out
    if resume is not None:
        _require_unfinished(resume, out)
    if resume is None and out is None and count > 1:
        raise InputError("several processes came without --out; name one place for all of them")
    place = resume or out
    if rank > 0:
        assert place is not None, "the options of several processes name one"
        yield place
        return
    with claim_place(place, "fit", data_name(request.data)) as own:
        yield own


def _require_unfinished(resume: Path, out: Path | None) -> None:
    if out is not None and out != resume:
        raise InputError(f"--resume {resume} and --out {out} name two places; give one")
    if (resume / "manifest.json").exists():
        raise RunError(f"the run in {str(resume)!r} is finished; there is nothing to resume")
    if not (resume / "config.json").is_file():
        raise RunError(f"there is no unfinished run in {str(resume)!r}; start it without --resume")


def open_start(
    request: FinetuneRequest, encoder: TorchEncoder, session: Session
) -> tuple[Start, DualEncoder]:
    """Open the data set, divide it, and see what the model makes of it before training.

    Returns:
        What was seen, and what embedded the images: the encoder, or an engine with its weights.
    """
    from cliptune.classifiers.fitting import fit_head
    from cliptune.finetuning.preflight import require_model_fits
    from cliptune.splits.partition import partition_table, rehearse_partition
    from cliptune.workflows.finetune_run import Start
    from cliptune.workflows.own_weights import open_untrained

    require_model_fits(encoder.model, request.options)
    table = open_learnable(request.data, request.dataset, session.watch)
    seed = request.seed
    rehearsed = rehearse_partition(table, val_fraction=request.val, seed=seed)
    _require_batch(request.options.batch_size, len(rehearsed.train) + len(rehearsed.val))
    alone = launched_as()[1] == 1  # one of several processes might choose otherwise than the rest
    frozen = open_untrained(session, encoder, table) if alone else encoder
    embedded = session.embed(frozen, table, on_bad_image=request.dataset.on_bad_image)
    table, vectors = embedded.table, embedded.features.vectors
    partition = partition_table(table, vectors, val_fraction=request.val, seed=seed)
    templates = request.template_set.templates
    task = session.make_task(frozen, embedded, partition, templates=templates, seed=seed)
    return Start(table, partition, task, fit_head(task, "zero-shot")), frozen


def _require_batch(size: int | str | None, n_images: int) -> None:
    """Refuse a batch that no division of the images could fill; how they divide is seen later."""
    if isinstance(size, int) and size > n_images:
        raise InputError(
            f"--batch-size {size} is larger than the {n_images} images for training and "
            "validation; use fewer"
        )


@dataclass(frozen=True)
class Checked:
    """What was looked at before: results as plain JSON values, and what the model sees."""

    results: Sequence[Mapping[str, Any]] = ()
    picture: bytes | None = None


def check_first(
    request: FinetuneRequest,
    encoder: TorchEncoder,
    frozen: DualEncoder,
    session: Session,
    start: Start,
    place: Path,
) -> Checked:
    """Check a new run; one that is taken up was checked at its start.

    Raises:
        DataError: A check failed.
    """
    from cliptune.runs import RunDir

    rank, count = launched_as()
    if (place / _CHECKS).is_file():
        picture = place / _SHEET
        found = RunDir(place).read_json(_CHECKS).get("checks")
        if not isinstance(found, list) or not picture.is_file():
            raise RunError(f"the checks in {str(place)!r} are broken; start the run anew")
        return Checked(found, picture.read_bytes())
    if not request.check:
        return Checked()
    if count > 1:
        if rank == 0:
            session.watch.note("several processes: not checked; run 'cliptune check' on one before")
        return Checked()
    return _check_now(request, encoder, frozen, session, start)


def _check_now(
    request: FinetuneRequest,
    encoder: TorchEncoder,
    frozen: DualEncoder,
    session: Session,
    start: Start,
) -> Checked:
    from cliptune.images import ScanReport

    with tempfile.TemporaryDirectory() as folder:
        results = collect_checks(
            encoder,
            frozen,
            session,
            start.table,
            start.partition,
            report=ScanReport(len(start.table), ()),
            templates=request.template_set.templates,
            options=request.options,
            folder=Path(folder),
            seed=request.seed,
        )
        for result in results:
            if result.status == "warned":
                session.watch.note(f"{result.name}: {result.meaning} {result.advice}")
        require_none_failed(results, " --no-check trains all the same.")
        picture = Path(folder) / _SHEET
        # The picture's folder is gone when anyone reads this.
        kept = [replace(r, value=_SHEET) if r.name == "contact_sheet" else r for r in results]
        return Checked([result.to_dict() for result in kept], picture.read_bytes())


def begin_run(
    place: Path, settings: FinetuneSettings, checked: Checked, data: TrainingData
) -> None:
    """Begin the run on disk, or take it up; only now is it known that it can be trained.

    Raises:
        RunError: What is there was begun with other options or images.
    """
    from cliptune.features import load_identity
    from cliptune.runs import CHECKPOINT, RunDir

    has_begun = any((place / name).exists() for name in (_CHECKS, CHECKPOINT))
    run = RunDir.create(place, settings.to_dict())
    assert data.identity is not None, "the caller gave it one"
    if not has_begun:
        data.identity.save(place / CHECKPOINT)
    data.identity.require_same(
        load_identity(place / CHECKPOINT), f"the unfinished run in {str(place)!r}"
    )
    if checked.picture is not None:
        with run.writing(_SHEET) as temporary:
            temporary.write_bytes(checked.picture)
        run.write_json(_CHECKS, {"checks": list(checked.results)})
