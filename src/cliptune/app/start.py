"""The page of a data set, ready to be served.

It puts together project, desk and server, and knows nothing about how options are read.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread

from fastapi import FastAPI

from cliptune.app.desk import Desk
from cliptune.app.page_access import Access, new_token
from cliptune.app.page_server import make_app
from cliptune.app.workbench import Workbench
from cliptune.workflows.dataset import read_whole_table
from cliptune.workflows.journal_labels import with_kept
from cliptune.workflows.label_project import open_project, user_name
from cliptune.workflows.options import ComputeOptions, DataOptions, TemplateOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import refuse_beside_run, require_compute, require_runs
from cliptune.workflows.session import Session

__all__ = ["Page", "open_page"]


@dataclass(frozen=True)
class Page:
    """A page that can be served.

    Attributes:
        application: Its endpoints.
        access: Who may ask.
        journal: Where labels go.
        desk: What is shown.
    """

    application: FastAPI
    access: Access
    journal: Path
    desk: Desk

    @property
    def url(self) -> str:
        """The address that lets a person in."""
        return f"http://127.0.0.1:{self.access.port}/?token={self.access.token}"


def open_page(
    data: str,
    port: int,
    *,
    run: Path | None = None,
    model: str = "lite",
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> Page:
    """Open a data set for the page; what is new of it is embedded first.

    Args:
        data: What the user calls it.
        port: Where the page will be served.
        run: A classifier to start from.
        model: The encoder otherwise.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, run, model or journal do not fit; the message says which.
    """
    require_compute(compute, [] if run is not None else [model])
    if run is not None:
        refuse_beside_run(TemplateOptions(), model)
        require_runs([run])
    told = Session(compute, watching(progress))
    quiet = Session(compute, watching(None))
    opening = partial(
        open_project, data, run=run, model=model, journal=dataset.journal, dataset=_plain(dataset)
    )
    project = opening(told)
    desk = Desk(
        bench=Workbench(project, lambda: opening(quiet)),
        data=data,
        user=user_name(),
        list_again=lambda: with_kept(
            read_whole_table(data, _plain(dataset), quiet.watch), project.place
        ),
    )
    access = Access(new_token(), port)
    Thread(target=_import_ahead, daemon=True).start()
    return Page(make_app(desk, access), access, project.journal.path, desk)


def _import_ahead() -> None:
    """Import what the first re-fit and the first map would wait seconds for."""
    for name in ("sklearn.decomposition", "sklearn.cluster", "scipy.stats", "torch"):
        with suppress(ImportError):  # who needs it says what is wrong
            import_module(name)


def _plain(options: DataOptions) -> DataOptions:
    """Return how to read the data set itself, without the journal over it."""
    from dataclasses import replace

    return replace(options, journal=None)
