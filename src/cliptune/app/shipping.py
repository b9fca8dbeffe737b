"""What leaves the page: labels in the formats of other tools, and the table of confusions.

It knows projects, and nothing about HTTP.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from cliptune.app.workbench import Workbench
from cliptune.images.writers import list_writers, write_table
from cliptune.system.escaping import for_csv
from cliptune.system.formatting import percent
from cliptune.workflows.label_project import LabelProject
from cliptune.workflows.progress import StageProgress
from cliptune.workflows.prove import run_path
from cliptune.workflows.refit import RefitCancelledError

__all__ = ["confusion_of", "export_labels", "export_run", "labels_as_csv"]

_CHECKED = 200  # images on which an exported graph is held against its run

Plain = dict[str, Any]  # Any: plain JSON values


def export_labels(project: LabelProject, form: str) -> Plain:
    """Write the images with the labels that stand into a new folder beside the journal.

    Args:
        project: Images and journal.
        form: A format of ``cliptune data --to``.

    Returns:
        Where it is, how many images it has, and what the format cannot hold.

    Raises:
        UnknownNameError: There is no such format.
        DataError: The format cannot hold the labels.
        UnavailableError: The folder cannot be written.
    """
    number = 1
    while (folder := project.place / f"export-{form}-{number:03d}").exists():
        number += 1
    if form not in list_writers():
        folder = project.place / "export"
    table = project.table()
    notes = write_table(table, form, folder)
    return {"folder": str(folder), "form": form, "n": len(table), "notes": list(notes)}


def export_run(
    project: LabelProject,
    run: str,
    form: str,
    show: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> str:
    """Write a run as graphs beside the journal, as ``cliptune export`` does; say what came of it.

    Args:
        project: Images and journal.
        run: A name as ``list_runs`` gives it.
        form: ``onnx`` or ``openvino``.
        show: Told steps done and in all.
        cancelled: Asked between steps; True ends it.

    Raises:
        CliptuneError: There is no such run or format, it cannot be exported, or was called off.
    """
    from cliptune.workflows.export import export

    place = run_path(project, run)

    def tell(event: object) -> None:
        if cancelled():
            raise RefitCancelledError("the export was called off")
        if isinstance(event, StageProgress):
            show(event.done, event.total)

    result = export(
        place,
        out=project.place / f"graph-{form}-{place.name}",
        format=form,  # type: ignore[arg-type]  # looked at there
        data=project.source,
        images=_CHECKED,
        compute=project.session.compute,
        progress=tell,
    )
    verdict = "parity holds" if result.passed else "parity does NOT hold"
    agreed = f"{percent(result.agreement)} of images get the same class"
    return f"{run} as {form}: {verdict}, {agreed}: {result.out}"


def labels_as_csv(project: LabelProject) -> str:
    """Return what stands of each image as CSV: id, path, content, label, mark, part, who, when."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["id", "path", "content", "label", "mark", "part", "who", "when"])
    table, test = project.table(), project.test_mask()
    for row, source in enumerate(table.sources):
        act = project.journal.standing.last(project.contents[row])
        mark = act.answer.mark if act and act.answer and act.answer.mark != "label" else ""
        label = table.class_names[table.labels[row]] if table.labels[row] >= 0 else ""
        cells = (source.id, source.location, project.contents[row], label, mark)
        part = "test" if test[row] else "train"
        said = (act.who, act.when) if act else ("", "")
        writer.writerow([for_csv(cell) for cell in (*cells, part, *said)])
    return buffer.getvalue()


def confusion_of(bench: Workbench) -> Plain:
    """Return how often an image with one label is believed to be of another class.

    Images outside the test alone, and of them those that were left out while they were answered.

    Returns:
        ``class_names`` and ``cells``: label, answer and how many, for what is not nothing.
    """
    beliefs = bench.beliefs()
    if beliefs is None:
        return {"class_names": list(bench.class_names), "cells": []}
    place = {name: code for code, name in enumerate(bench.class_names)}
    number = np.array([place[name] for name in beliefs.class_names], dtype=np.int64)
    rows = np.flatnonzero((bench.codes >= 0) & ~bench.test & beliefs.left_out)
    both = np.stack([bench.codes[rows], number[beliefs.best[rows]]], axis=1)
    pairs, counts = np.unique(both, axis=0, return_counts=True)
    cells = [[int(a), int(b), int(n)] for (a, b), n in zip(pairs, counts, strict=True)]
    return {"class_names": list(bench.class_names), "cells": cells}
