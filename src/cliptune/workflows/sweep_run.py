"""One sweep from data to a finished run directory.

It knows trials and where they are kept, and nothing about how the verb is called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.workflows.activations import keep_activations
from cliptune.workflows.dataset import data_name, open_learnable
from cliptune.workflows.options import DataOptions
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.classifiers.head_data import HeadData
    from cliptune.encoders import DualEncoder
    from cliptune.features import DataIdentity
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet
    from cliptune.results.swept import SweepResult
    from cliptune.sweeps.grid import Grid
    from cliptune.sweeps.head_sweep import HeadSweep
    from cliptune.sweeps.options import SweepOptions
    from cliptune.sweeps.records import Trial
    from cliptune.sweeps.tower_sweep import TowerSweep
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = ["SweepRequest", "run_sweep"]


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What was asked for, read and checked as far as that needs no data.

    Attributes:
        data: The data set.
        model: Which encoder.
        options: What all trials share.
        grid: What is swept.
        began: ``time.monotonic`` at which the budget began to run.
        seconds: The budget, or infinity.
        n_images: Training images to draw, or None for all.
        val_fraction: Share of them cut for validation.
        storage: Address of the study, or None for a file in the cache.
        study: Its name there, or None.
        template_set: How class names become texts.
        dataset: How to read the data set.
    """

    data: Data
    model: Model
    options: SweepOptions
    grid: Grid
    began: float
    seconds: float
    n_images: int | None
    val_fraction: float
    storage: str | None
    study: str | None
    template_set: TemplateSet
    dataset: DataOptions

    def to_dict(self, encoder: DualEncoder) -> dict[str, Any]:  # Any: plain JSON values
        """Return the options as a run records them."""
        return {
            "command": "sweep",
            "data": data_name(self.data),
            "model": encoder.name,
            "precision": encoder.precision,
            "templates": {
                "name": self.template_set.name,
                "texts": list(self.template_set.templates),
            },
            "method": self.options.method,
            "grid": self.grid.describe(),
            "search": self.options.search,
            "budget_seconds": self.seconds if self.seconds < float("inf") else None,
            "train_images": self.n_images,
            "val_fraction": self.val_fraction,
            "options": asdict(self.options),
            "seed": self.options.seed,
        }


@dataclass(frozen=True)
class _Prepared:
    """What a sweep learns from: the images it may see, and their features."""

    encoder: DualEncoder
    table: ImageTable
    task: HeadData
    notes: tuple[str, ...]
    images: DataIdentity
    computing: dict[str, Any]  # Any: plain JSON values


def run_sweep(request: SweepRequest, place: Path, session: Session) -> SweepResult:
    """Train what is left of the sweep, and write the run directory.

    Args:
        request: What was asked for.
        place: Where the run goes.
        session: Where and how the encoder computes.

    Raises:
        KeyboardInterrupt: After what is known so far was told as an event; finished trials are
            kept.
    """
    from cliptune.results.swept import SweepResult
    from cliptune.sweeps.report import summarise, write_sweep

    prepared = _prepare(request, session)
    one = _open_sweep(request, prepared, session)
    identity = {**_comparable(request, prepared.encoder, session), **one.identity}
    images = {"images": prepared.images.digest}
    address, name = _place_of_study(request, {**identity, **images}, session)
    asked = request.to_dict(prepared.encoder)
    finished, facts = _work(one, address, name, identity, prepared.images, session)
    conclusion = one.conclude(finished)
    interrupted = facts["interrupted"]
    facts |= {
        "class_names": list(prepared.task.class_names),
        "n_train": len(prepared.task.train),
        "n_val": len(prepared.task.val),
        "notes": [*prepared.notes, *facts["notes"]],
        "data_digest": prepared.images.digest,
        "encoder": prepared.encoder.fingerprint,
        "seconds": time.monotonic() - request.began,
        **prepared.computing,
    }
    if interrupted:
        so_far = {"task": "sweep", **asked, **facts, **summarise(conclusion), "figures": {}}
        session.watch.event(SweepResult.from_dict(so_far))
        raise KeyboardInterrupt
    return SweepResult.from_dict(write_sweep(place, asked, conclusion, facts))


def _prepare(request: SweepRequest, session: Session) -> _Prepared:
    from cliptune.features import describe_computing
    from cliptune.splits.partition import rehearse_partition
    from cliptune.sweeps.data import cut_seen, rows_to_embed, sweep_identity
    from cliptune.sweeps.options import TOWER_METHODS
    from cliptune.workflows.own_weights import open_untrained

    seed = request.options.seed
    whole = open_learnable(request.data, request.dataset, session.watch)
    rehearse_partition(whole, val_fraction=request.val_fraction, seed=seed)
    table = whole.select(rows_to_embed(whole, n_images=request.n_images, seed=seed))
    moves = request.options.method in TOWER_METHODS
    model = request.model
    if moves:
        encoder: DualEncoder = (trainable := session.open_trainable_encoder(model))
        frozen = open_untrained(session, trainable, table)
    else:
        encoder = frozen = session.open_encoder(model, table)
    embedded = session.embed(frozen, table, on_bad_image=request.dataset.on_bad_image)
    table, vectors = embedded.table, embedded.features.vectors
    seen = cut_seen(
        table,
        vectors,
        whole=whole,
        n_images=request.n_images,
        val_fraction=request.val_fraction,
        seed=seed,
    )
    for sentence in seen.notes:
        session.watch.note(sentence)
    task = session.make_task(
        frozen,
        embedded,
        seen,
        templates=request.template_set.templates,
        seed=request.options.seed,
        tokens=request.options.method == "attention",
    )
    return _Prepared(
        encoder=encoder,
        table=table,
        task=task,
        notes=seen.notes,
        images=sweep_identity(table, seen, session.store),
        computing=describe_computing(frozen, session.store.guard),
    )


def _comparable(
    request: SweepRequest, encoder: DualEncoder, session: Session
) -> dict[str, Any]:  # Any: plain JSON values
    """Return what makes trials comparable besides images and options of training."""
    return {
        "encoder": [encoder.fingerprint, encoder.preprocess.to_dict()],
        "precision": session.compute.precision,
        "templates": list(request.template_set.templates),
    }


def _open_sweep(
    request: SweepRequest, prepared: _Prepared, session: Session
) -> HeadSweep | TowerSweep:
    from cliptune.sweeps.options import TOWER_METHODS

    options, grid = request.options, request.grid
    if options.method in TOWER_METHODS:
        from cliptune.sweeps.tower_sweep import TowerSweep

        return TowerSweep(
            prepared.encoder,
            prepared.table,
            prepared.task,
            grid,
            options,
            templates=request.template_set.templates,
            began=request.began,
            budget_seconds=request.seconds,
            activations=keep_activations(prepared.images, session),
        )
    from cliptune.sweeps.head_sweep import HeadSweep

    return HeadSweep(
        prepared.task, grid, options, began=request.began, budget_seconds=request.seconds
    )


def _place_of_study(
    request: SweepRequest, identity: Mapping[str, Any], session: Session
) -> tuple[str, str]:  # Any: plain JSON values
    """Return address and name; a study's own file in the cache is named after what it holds."""
    import hashlib
    import json

    name = request.study or f"{request.options.method}-{Path(data_name(request.data)).stem}"
    if request.storage is not None:
        return request.storage, name
    from cliptune.system.paths import cache_dir
    from cliptune.system.places import file_stem

    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = (session.compute.cache_dir or cache_dir()).absolute() / "sweeps"
    file = folder / f"{file_stem(name)}-{digest}.sqlite3"
    if not file.exists() and any(
        folder.glob(f"{escape(file_stem(name))}-{'?' * len(digest)}.sqlite3")
    ):
        session.watch.note(
            f"begun anew: the cache keeps sweeps {name!r}, but of other images or options"
        )
    return f"sqlite:///{file}", name


def _work(
    one: HeadSweep | TowerSweep,
    address: str,
    name: str,
    identity: Mapping[str, Any],
    images: DataIdentity,
    session: Session,
) -> tuple[list[Trial], dict[str, Any]]:  # Any: plain JSON values
    """Work on the study until nothing is left, the time is over, or someone presses Ctrl-C."""
    from cliptune.sweeps.connect import without_password
    from cliptune.sweeps.store import StudyStore

    interrupted = False
    notes: list[str] = []
    with StudyStore.open(address, name, identity, images=images) as store:
        before = len(store.trials())
        if before:
            session.watch.note(
                f"study {name!r} holds {before} finished trials already; going on from there"
            )
        worker = one.worker(store)
        try:
            with session.watch.stage("sweeping", "trials") as show:
                show(before, max(before, one.n_planned))
                for count, _ in enumerate(worker.run(), start=before + 1):
                    show(count, max(count, one.n_planned))
        except KeyboardInterrupt:
            interrupted = True
        finished = store.trials()
    if worker.out_of_time:
        notes.append("the budget ended before all trials were done; the same command goes on")
        session.watch.note(notes[-1])
    facts = {
        "study": {"name": name, "storage": without_password(address)},
        "n_trained_here": worker.n_trained,
        "complete": not (worker.out_of_time or interrupted),
        "interrupted": interrupted,
        "notes": notes,
    }
    return finished, facts
