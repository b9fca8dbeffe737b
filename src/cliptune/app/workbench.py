"""Workbench: an open project with all that a page asks of it, kept up to date with its journal.

It knows projects, and nothing about HTTP. Calls may come from several threads at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.annotations import Act, Answer
from cliptune.app.beliefs import Beliefs, believe_now
from cliptune.app.lookups import Lookups
from cliptune.errors import InputError
from cliptune.workflows.label_project import LabelProject
from cliptune.workflows.prove import fits_encoder, list_runs
from cliptune.workflows.refit import refit

__all__ = ["Counts", "Workbench"]


@dataclass(frozen=True)
class Counts:
    """How many images there are of what.

    Attributes:
        images: All.
        labelled: With a label, outside the test.
        open: Without an answer, outside the test.
        test: Kept for the test.
        test_labelled: Of these, with a label.
        none: Of none of the classes.
        skipped: Put off.
        conflicts: Of which two people said different things unseen.
    """

    images: int
    labelled: int
    open: int
    test: int
    test_labelled: int
    none: int
    skipped: int
    conflicts: int


class Workbench:
    """What stands of every image, by row, and what is believed of it.

    Args:
        project: The open project.
        reopen: Opens it again, where the data changed underneath.

    Attributes:
        project: The open project.
        class_names: Names of the classes, those of people behind those of the data set.
        codes: int64 (N,), the label of each image, -1 where it has none.
        marks: Of N images, ``none``, ``skip`` or nothing.
        test: bool (N,), kept for the test.
        lookups: Neighbours, outliers, duplicates, the plane.
        version: Counts changes of what is shown.
    """

    def __init__(self, project: LabelProject, reopen: Callable[[], LabelProject]) -> None:
        self._lock = threading.RLock()
        self._reopen = reopen
        self._beliefs: Beliefs | None = None
        self._run = ""
        self.version = 0
        self._take(project)

    def _take(self, project: LabelProject) -> None:
        self.project = project
        self.lookups = Lookups(project)
        table = project.table()
        self.class_names: list[str] = list(table.class_names)
        self.codes: NDArray[np.int64] = table.labels.copy()
        self.source_codes = project.source.labels
        self.test = project.test_mask()
        self.marks: list[str] = [""] * len(self.codes)
        self._rows_of: dict[str, list[int]] = {}
        for row, image in enumerate(project.contents):
            self._rows_of.setdefault(image, []).append(row)
        for image in project.journal.standing.images():
            self._restate(image)
        self._seen = len(project.journal.standing.acts)
        runs = [entry.run for entry in list_runs(project) if fits_encoder(project, entry.run)]
        self._run = runs[-1] if runs else ""
        self._beliefs = None
        self.version += 1

    def reopen(self) -> None:
        """Open the data set again: images that came are taken in, those that went are left out."""
        project = self._reopen()
        with self._lock:
            self._take(project)

    def refresh(self) -> None:
        """Take in what others wrote into the journal."""
        with self._lock:
            self.project.journal.refresh()
            self._catch_up()

    def _catch_up(self) -> None:
        standing = self.project.journal.standing
        n_names = len(self.class_names)
        new = standing.acts[self._seen :]
        for name in standing.class_names:
            if name not in self.class_names:
                self.class_names.append(name)
        for act in new:
            about = act if act.of is None else standing.acts[act.of - 1]
            for image in about.images:
                self._restate(image)
        self._seen = len(standing.acts)
        if len(self.class_names) > n_names and not self._run:
            self._beliefs = None
        self.version += len(new)

    def _restate(self, image: str) -> None:
        answer = self.project.journal.standing.answer(image)
        for row in self._rows_of.get(image, ()):
            self.marks[row] = "" if answer is None or answer.mark == "label" else answer.mark
            code = int(self.source_codes[row])
            if answer is not None and answer.mark != "skip":
                code = self.class_names.index(answer.label) if answer.mark == "label" else -1
            self.codes[row] = code

    @property
    def run(self) -> str:
        """The run whose answers are shown; empty where the class texts alone answer."""
        return self._run

    def show_run(self, run: str) -> None:
        """Show the answers of another run."""
        believed = believe_now(self.project, run)
        with self._lock:
            self._run, self._beliefs = run, believed
            self.version += 1

    def beliefs(self) -> Beliefs | None:
        """Return what is believed of every image; None while there is nothing to believe."""
        with self._lock:
            if self._beliefs is None:
                self._beliefs = believe_now(self.project, self._run)
            return self._beliefs

    def believe_anew(self) -> None:
        """Forget what was believed, after the test was opened or labels were mended."""
        with self._lock:
            self._beliefs = None
            self.version += 1

    def counts(self) -> Counts:
        """Count what is what."""
        with self._lock:
            marks = np.array(self.marks)
            known, waits = self.codes >= 0, marks == ""
            return Counts(
                images=len(known),
                labelled=int((known & ~self.test).sum()),
                open=int((~known & waits & ~self.test).sum()),
                test=int(self.test.sum()),
                test_labelled=int((known & self.test).sum()),
                none=int((marks == "none").sum()),
                skipped=int((marks == "skip").sum()),
                conflicts=len(self.project.journal.standing.conflicts()),
            )

    def label(
        self,
        images: Sequence[str],
        answer: Answer,
        *,
        who: str,
        tab: str,
        before: Sequence[Answer | None] | None = None,
    ) -> Act:
        """Say something of images; it is on the disk when this returns.

        Raises:
            InputError: There is no such image, or as many answers before as there are images.
            UnavailableError: The disk is full or cannot be written; nothing was said.
        """
        unknown = [image for image in images if image not in self._rows_of]
        if unknown or not images or len(set(images)) < len(images):
            raise InputError(
                f"{unknown[0]!r:.80} is no image here; reload the page"
                if unknown
                else "no image came, or one twice; choose some"
            )
        if before is not None and len(before) != len(images):
            raise InputError(f"{len(before)} answers before came for {len(images)} images")
        with self._lock:
            act = self.project.journal.label(images, answer, who=who, tab=tab, before=before)
            self._catch_up()
            return act

    def turn(self, *, who: str, tab: str, undo: bool) -> Act | None:
        """Undo the last act of a page, or do again what it undid last."""
        with self._lock:
            journal = self.project.journal
            act = journal.undo(who=who, tab=tab) if undo else journal.redo(who=who, tab=tab)
            self._catch_up()
            return act

    def add_classes(self, names: Sequence[str], *, who: str, tab: str) -> None:
        """Name classes; those that are known already stay as they are.

        Raises:
            InputError: One is no label.
        """
        wanted = [Answer.of("label", name).label for name in names]
        with self._lock:
            for name in dict.fromkeys(wanted):
                if name not in self.class_names:
                    self.project.journal.add_class(name, who=who, tab=tab)
                    self._catch_up()

    def refit(
        self, method: str, show: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> str:
        """Fit anew on the labels that stand and show what comes of it; return it in a sentence."""
        fitted = refit(
            self.project,
            method=method,
            progress=lambda event: show(event.done, event.total + 1),
            cancelled=cancelled,
        )
        run = fitted.run.rpartition("/")[2]
        self.show_run(run)
        return " ".join(str(block) for block in fitted.blocks()).rpartition(": ")[0]

    def last_tab_sight(self, tab: str) -> tuple[bool, bool]:
        """Say whether a page has something to undo, and something to do again."""
        standing = self.project.journal.standing
        return standing.next_undo(tab) is not None, standing.next_redo(tab) is not None
