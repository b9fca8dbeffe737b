"""``cliptune study``: the whole investigation of a data set, as one report."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cliptune.cli.console import note, print_json, print_table, print_text
from cliptune.cli.early import require_class_names, require_compute
from cliptune.cli.numbers import number
from cliptune.cli.open_data import open_whole_table
from cliptune.cli.options import ComputeOptions, DataOptions, ModelOptions, OutputOptions
from cliptune.cli.session import embed_table, open_encoder, open_store
from cliptune.formatting import duration

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.images import BadImage, ImageTable
    from cliptune.study import StudyOptions
    from cliptune.study.run import Finished, Planned, Study
    from cliptune.study.subject import Progress, Subject

__all__ = ["study"]


def study(
    data: str,
    /,
    *,
    model: Annotated[tuple[str, ...], Parameter(alias="-m", negative="")] = ("lite",),
    budget: str = "20m",
    only: str = "",
    skip: str = "",
    image: Path | None = None,
    val: Annotated[float, number(above=0, below=1)] = 0.2,
    out: Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Investigate a data set within a budget of time and write one report.

    Every section asks a question and answers it by rule from numbers with intervals. The test
    split stays locked until the last section. Stopped at any moment, the same command goes on.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        model: Which encoder, as for the other commands; give several to compare them.
        budget: How long it may take, such as 90s, 20m or 1.5h.
        only: Sections to do, with commas: data, top5, zero-shot, fine-tuning, heads,
            rates, map, map-after, beyond, ship.
        skip: Sections to leave out.
        image: The image of the section top5; one of the data set otherwise.
        val: Share of the training images cut for validation where there is no such split.
        out: Folder of the study; one below runs/ that is the same for the same study otherwise.
        dataset: How to read the data set.
        compute: Where and how encoders compute.
        output: How results are shown.
    """
    from cliptune.study import StudyOptions, choose_sections
    from cliptune.sweep.options import parse_seconds

    began = time.perf_counter()
    options = StudyOptions(
        data=data,
        models=tuple(dict.fromkeys(model)),
        budget_seconds=parse_seconds(budget),
        sections=choose_sections(only, skip),
        image=image,
        val_fraction=val,
        seed=output.seed,
    )
    require_class_names(dataset)
    require_compute(compute, options.models)
    with ExitStack() as held:
        prepared = _prepare(options, out, dataset, compute, began, held)
        _follow(prepared, len(options.sections))
    _show(prepared.folder, as_json=output.json)


def _follow(prepared: Study, n_sections: int) -> None:
    """Do every section, and show what happens as it happens."""
    from cliptune.study.run import Finished, Planned, Postponed, Started, run_study

    place = 0
    with _live_line() as (show, headline):
        try:
            for event in run_study(prepared, show):
                if isinstance(event, Planned):
                    _note_plan(event)
                elif isinstance(event, Postponed):
                    note(f"{event.name} waits for what the others leave: {event.reason}")
                elif isinstance(event, Started):
                    headline(f"[{place + 1}/{n_sections}] {event.name}", event.seconds_left)
                    if event.begins_anew:
                        note(f"{event.name} begins anew: it had begun with other settings")
                elif isinstance(event, Finished):
                    place += 1
                    note(f"[{place}/{n_sections}] {_line(event)}")
        except KeyboardInterrupt:
            note(f"what is finished: {prepared.folder / 'report.html'}")
            note(f"the same command goes on from here: {prepared.command}")
            raise


def _prepare(
    options: StudyOptions,
    out: Path | None,
    dataset: DataOptions,
    compute: ComputeOptions,
    began: float,
    held: ExitStack,
) -> Study:
    """Open data and encoders, measure the speed, and embed every image once.

    ``held`` keeps the study's folder for this process.
    """
    from cliptune.images import open_images, refuse_label_sets
    from cliptune.paths import cache_dir
    from cliptune.run_place import hold_place
    from cliptune.study.ledger import Ledger
    from cliptune.study.open import (
        begin_folder,
        default_folder,
        labelled_part,
        measure_speeds,
        study_key,
    )
    from cliptune.study.run import Study

    if out is not None:
        held.enter_context(hold_place(out))
    if options.image is not None:
        open_images([str(options.image)])  # what is not there is said before anything is written
    table, n_unlabelled = labelled_part(
        open_whole_table(options.data, dataset, check=refuse_label_sets)
    )
    encoders = {
        name: open_encoder(ModelOptions(model=name, **vars(compute)), table)
        for name in options.models
    }
    store = open_store(compute)
    cache = (compute.cache_dir or cache_dir()) / "studies"
    images = store.identify(table, table.splits)
    key = study_key(images, table.class_names, encoders, options, precision=compute.precision)
    ledger = Ledger.open(cache, key, options)
    if ledger.speeds is None:
        ledger.speeds = measure_speeds(table, encoders, options)
    place = out or held.enter_context(hold_place(default_folder(options, key)))
    folder = begin_folder(place, options, key, images)
    return Study(
        options=options,
        subject=_embed(options, table, n_unlabelled, encoders, store, dataset, compute),
        key=key,
        ledger=ledger,
        folder=folder,
        cache=cache,
        command=shlex.join(["cliptune", *sys.argv[1:]]),
        began=began,
    )


def _embed(
    options: StudyOptions,
    table: ImageTable,
    n_unlabelled: int,
    encoders: dict[str, DualEncoder],
    store: FeatureStore,
    dataset: DataOptions,
    compute: ComputeOptions,
) -> Subject:
    from cliptune.study.subject import Subject, View

    bad: tuple[BadImage, ...] = ()
    views: list[View] = []
    for name, encoder in encoders.items():
        embedded = embed_table(
            encoder, table, store, on_bad_image=dataset.on_bad_image, trunk="may"
        )
        table, bad = embedded.table, bad or embedded.bad
        features = embedded.features
        views.append(
            View(
                name,
                encoder,
                store,
                table,
                features.vectors,
                truncate=compute.truncate,
                trunk=features.trunk,
            )
        )
    return Subject(
        data=options.data,
        table=table,
        bad=bad,
        n_unlabelled=n_unlabelled,
        views=tuple(views),
        val_fraction=options.val_fraction,
        seed=options.seed,
        device=compute.device,
    )


@contextmanager
def _live_line() -> Iterator[tuple[Progress, Callable[[str, float], None]]]:
    """Show the section at work, how far it is, and about how long the study still takes."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[what]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
    )
    hidden = not console.is_terminal  # a bar that nobody watches would still end its line
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("planning", total=None, what="", left="")
        ends_at = [0.0]

        def show(what: str, done: int, total: int) -> None:
            left = max(ends_at[0] - time.monotonic(), 0)
            counted = f"{what} {done}/{total}"
            bar.update(task, completed=done, total=total, what=counted, left=_left(left))

        def headline(text: str, seconds_left: float) -> None:
            ends_at[0] = time.monotonic() + seconds_left
            bar.reset(task, total=None, description=text, what="", left=_left(seconds_left))

        yield show, headline


def _left(seconds: float) -> str:
    return f"about {duration(seconds)} left"


def _note_plan(planned: Planned) -> None:
    """Say what is to come; the sizes follow from what the sections before really take."""
    total = duration(sum(step.seconds for step in planned.steps if step.left_out is None))
    note(
        f"plan: {', '.join(step.name for step in planned.steps)}; about {total} of the "
        f"{duration(planned.seconds_left)} that the budget leaves"
    )


def _line(event: Finished) -> str:
    section = event.section
    if section.skipped is not None:
        return f"{section.name}: left out, {section.skipped}"
    took = "done before" if event.reused else duration(section.seconds)
    return f"{section.name} ({took}): {section.conclusion}"


def _show(folder: Path, *, as_json: bool) -> None:
    result: dict[str, Any] = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    if as_json:
        print_json(result)
        return
    ship = result["sections"].get("ship")
    print_table(
        result["title"],
        ("section", "what was found"),
        [(name, s["skipped"] or s["conclusion"]) for name, s in result["sections"].items()],
    )
    if ship and not ship["skipped"]:
        print_text(ship["conclusion"])
    if result["command"]:
        print_text(f"Again: {result['command']}\nUse it: {result['predict']}")
    print_text(f"Report: {result['report']}")
