"""``study``: the whole investigation of a data set, as one report.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import InputError
from cliptune.workflows.dataset import data_name, open_whole_table
from cliptune.workflows.options import ComputeOptions, DataOptions, option_words
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import (
    require_class_names,
    require_compute,
    require_movable,
)
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import BadImage, ImageTable
    from cliptune.results.studied import StudyResult
    from cliptune.studies import StudyOptions
    from cliptune.studies.run import Study
    from cliptune.studies.study_data import StudyData
    from cliptune.workflows.dataset import Data

__all__ = ["SectionProgress", "study"]


_USUAL_CUT = 0.2


@dataclass(frozen=True)
class SectionProgress:
    """How far the section at work is.

    Attributes:
        what: What is being done.
        done: Units that are done.
        total: Units in all.
    """

    what: str
    done: int
    total: int


def study(
    data: Data,
    *,
    model: str | Sequence[str] = "lite",
    budget: str = "20m",
    only: str = "",
    skip: str = "",
    image: str | Path | None = None,
    val: float = _USUAL_CUT,
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    command: str | None = None,
    progress: ProgressLike = None,
) -> StudyResult:
    """Investigate a data set within a budget of time and write one report.

    Every section asks a question and answers it by rule from numbers with intervals. The test
    split stays locked until the last section. Stopped at any moment, the same call goes on.

    Args:
        data: A data set by name, or a table.
        model: Names of encoders; several are compared.
        budget: How long it may take, such as ``90s``, ``20m`` or ``1.5h``.
        only: Sections to do, with commas between them.
        skip: Sections to leave out.
        image: The image of the section ``top5``; one of the data set otherwise.
        val: Share of the training images cut for validation where there is no such split.
        out: Folder of the study; one below ``runs/`` that is the same for the same study
            otherwise.
        dataset: How to read the data set.
        compute: Where and how encoders compute.
        seed: Of everything random.
        command: What the page says that starts it again; the command line's words otherwise.
        progress: A callback, or True for bars; it also gets ``Planned``, ``Postponed``,
            ``Started``, ``Finished`` and ``SectionProgress``.

    Raises:
        CliptuneError: Data, options, models or place do not fit; the message says which.
        KeyboardInterrupt: After the page of what is finished was written.
    """
    from cliptune.results.studied import StudyResult
    from cliptune.studies import StudyOptions, choose_sections
    from cliptune.studies.run import run_study
    from cliptune.sweeps.options import parse_seconds

    began = time.perf_counter()
    options = StudyOptions(
        data=data_name(data),
        models=(model,) if isinstance(model, str) else tuple(dict.fromkeys(model)),
        budget_seconds=parse_seconds(budget),
        sections=choose_sections(only, skip),
        image=None if image is None else Path(image),
        val_fraction=val,
        seed=seed,
    )
    require_class_names(dataset)
    require_compute(compute, options.models)
    require_movable(compute, options.models)
    session = Session(compute, watching(progress))
    again = command or _command(options, budget, only, skip, option_words(dataset, compute))
    with ExitStack() as held:
        place = None if out is None else Path(out)
        prepared = _prepare(data, options, place, session, dataset, again, began, held)
        session.watch.event(prepared)
        for event in run_study(prepared, lambda *told: session.watch.event(SectionProgress(*told))):
            session.watch.event(event)
    from cliptune.report.read import STUDY_FILE
    from cliptune.system.json_files import read_object

    return StudyResult.from_dict(read_object(prepared.folder / STUDY_FILE))


def _command(
    options: StudyOptions, budget: str, only: str, skip: str, reading: Sequence[str]
) -> str:
    """Return the words that start the same study on a command line."""
    words = ["cliptune", "study", options.data, *reading, "--budget", budget]
    for name in options.models if options.models != ("lite",) else ():
        words += ["--model", name]
    for option, value in (("--only", only), ("--skip", skip)):
        words += [option, value] if value else []
    if options.image is not None:
        words += ["--image", str(options.image)]
    if options.val_fraction != _USUAL_CUT:
        words += ["--val", f"{options.val_fraction:g}"]
    if options.seed:
        words += ["--seed", str(options.seed)]
    return shlex.join(words)


def _prepare(
    data: Data,
    options: StudyOptions,
    out: Path | None,
    session: Session,
    dataset: DataOptions,
    command: str,
    began: float,
    held: ExitStack,
) -> Study:
    """Open data and encoders, measure the speed, and embed every image once.

    ``held`` keeps the study's folder for this process.
    """
    from cliptune.images import open_images
    from cliptune.runs.place import hold_place
    from cliptune.studies.ledger import Ledger
    from cliptune.studies.open import (
        begin_folder,
        default_folder,
        labelled_part,
        measure_speeds,
        study_key,
    )
    from cliptune.studies.run import Study
    from cliptune.system.paths import cache_dir

    if out is not None:
        held.enter_context(hold_place(out))
    if options.image is not None:
        open_images([str(options.image)])  # what is not there is said before anything is written
    whole = open_whole_table(
        data,
        dataset,
        session.watch,
        check=lambda table: _require_usual(table, options),
        confidence=True,
    )
    table, n_unlabelled = labelled_part(whole)
    encoders = {name: session.open_encoder(name, table) for name in options.models}
    cache = (session.compute.cache_dir or cache_dir()) / "studies"
    images = session.store.identify(table, table.splits)
    precision = session.compute.precision
    key = study_key(images, table.class_names, encoders, options, precision=precision)
    ledger = Ledger.open(cache, key, options)
    if ledger.speeds is None:
        ledger.speeds = measure_speeds(table, encoders, options)
    place = out or held.enter_context(hold_place(default_folder(options, key)))
    folder = begin_folder(place, options, key, images)
    return Study(
        options=options,
        subject=_embed(options, table, n_unlabelled, encoders, session, dataset),
        key=key,
        ledger=ledger,
        folder=folder,
        cache=cache,
        command=command,
        began=began,
    )


def _require_usual(table: ImageTable, options: StudyOptions) -> None:
    """Refuse what has no meaning where an image may have several labels."""
    if table.label_sets is None:
        return
    if table.confidence is not None:
        raise InputError(
            "--label-confidence came, but the images may have several labels, each of which is "
            "taken as it is; leave it out"
        )
    if options.val_fraction != _USUAL_CUT:
        raise InputError(
            f"--val {options.val_fraction:g} came, but the images may have several labels, which "
            "are chosen by cross-validation; leave it out"
        )


def _embed(
    options: StudyOptions,
    table: ImageTable,
    n_unlabelled: int,
    encoders: Mapping[str, DualEncoder],
    session: Session,
    dataset: DataOptions,
) -> StudyData:
    from cliptune.studies.study_data import EncodedData, StudyData

    bad: tuple[BadImage, ...] = ()
    views: list[EncodedData] = []
    for name, encoder in encoders.items():
        embedded = session.embed(encoder, table, on_bad_image=dataset.on_bad_image, trunk="may")
        table, bad = embedded.table, bad or embedded.bad
        features = embedded.features
        views.append(
            EncodedData(
                name,
                encoder,
                session.store,
                table,
                features.vectors,
                truncate=session.compute.truncate,
                trunk=features.trunk,
            )
        )
    return StudyData(
        data=options.data,
        table=table,
        bad=bad,
        n_unlabelled=n_unlabelled,
        views=tuple(views),
        val_fraction=options.val_fraction,
        seed=options.seed,
        device=session.compute.device,
        reading=option_words(dataset, session.compute),
    )
