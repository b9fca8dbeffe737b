"""Desk: everything that one open page needs at hand.

It knows the workbench, the views, the thumbnails and the jobs, and nothing about HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from cliptune.app.changes import ChangeWatch
from cliptune.app.jobs import Jobs
from cliptune.app.page_schemas import ClassOut, CountsOut, JobOut, PageState
from cliptune.app.thumbnails import Thumbnails
from cliptune.app.views import Views
from cliptune.app.workbench import Workbench
from cliptune.images import ImageTable
from cliptune.images.writers import list_writers
from cliptune.workflows.prove import run_path

__all__ = ["Desk"]


@dataclass
class Desk:
    """One open project and what is shown of it.

    Attributes:
        bench: The project.
        data: What the data set is called.
        user: Who is at work, where a request does not say.
        list_again: Lists the data set as it is now.
        views: Lists of images that were asked for.
        thumbnails: Small pictures.
        jobs: What goes on in the background.
        changes: Looks whether the data changed.
    """

    bench: Workbench
    data: str
    user: str
    list_again: Callable[[], ImageTable]
    views: Views = field(default_factory=Views)
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    jobs: Jobs = field(default_factory=Jobs)
    changes: ChangeWatch = field(init=False)

    def __post_init__(self) -> None:
        self.changes = ChangeWatch(self.bench.project.source, self.list_again)

    def reopen(self) -> None:
        """Open the data set again as it is now."""
        self.bench.reopen()
        self.changes = ChangeWatch(self.bench.project.source, self.list_again)

    @property
    def place(self) -> Path:
        """The folder of the journal and of the runs."""
        return self.bench.project.place

    def state(self, tab: str) -> PageState:
        """Return what stands above the grid of one page."""
        bench, standing = self.bench, self.bench.project.journal.standing
        learned = bench.codes[(bench.codes >= 0) & ~bench.test]
        n_of = np.bincount(learned, minlength=len(bench.class_names))
        can_undo, can_redo = bench.last_tab_sight(tab)
        return PageState(
            data=self.data,
            model=bench.project.encoder.name,
            user=self.user,
            counts=CountsOut(**asdict(bench.counts())),
            classes=[
                ClassOut(name=name, n=int(n))
                for name, n in zip(bench.class_names, n_of, strict=True)
            ],
            run=bench.run,
            run_path=str(run_path(bench.project, bench.run)) if bench.run else "",
            version=bench.version,
            acts=len(standing.acts),
            openings=len(standing.openings()),
            can_undo=can_undo,
            can_redo=can_redo,
            job=self.job(),
            changed=self.changes.sentence(),
            forms=sorted(list_writers()),
        )

    def job(self) -> JobOut:
        """Return how what goes on in the background stands."""
        return JobOut(**asdict(self.jobs.state))
