"""What is in the data: counts, a contact sheet, problems.

It knows the checks that need no training, and nothing about classifiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.checks import CheckResult
from cliptune.checks.data import (
    check_class_counts,
    check_image_sizes,
    check_imbalance,
    check_readable,
)
from cliptune.checks.features import check_duplicates, check_labels
from cliptune.images import ScanReport
from cliptune.plots.contact_sheets import render_contact_sheet
from cliptune.report import Column, Table
from cliptune.report.charts import Bar, plot_bars
from cliptune.studies.section_context import SectionContext, SectionResult
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sentences import join_words
from cliptune.studies.study_data import StudyData, order_by_turns

__all__ = ["checks_table", "study_data", "what_checks_found"]

SECTION = SectionSpec(
    name="data",
    place=10,
    title="The data",
    question="How many images of what are there, and is anything wrong with them?",
    function="study_data",
    needs="nothing",
    rank=30,
    several="counts",
    seconds=3.0,
    seconds_per_image=1e-3,
)

_SHOWN = 18
_BARS = 24
_PARTS = ("training", "validation", "locked test")


def study_data(subject: StudyData, context: SectionContext) -> SectionResult:
    """Count, look, and list what is wrong."""
    parts = _parts(subject)
    counts = _counts(subject, parts)
    checks = list(_run_checks(subject, parts))
    numbers = {
        "images": len(subject.table),
        "classes": len(subject.table.class_names),
        "unlabelled_left_out": subject.n_unlabelled,
        "unreadable": [{"id": bad.id, "reason": bad.reason} for bad in subject.bad],
        "counts": counts,
        "checks": [check.to_dict() for check in checks],
    }
    blocks = [context.picture(_contact_sheet(subject), "contact-sheet", wide=True,
                           alt="A grid of images with their labels",
                           caption=_sheet_caption(subject))]  # fmt: skip
    tables = [checks_table(checks)]
    if counts:
        bars = [Bar(row["class"], row["total"], f"{row['total']:,}") for row in counts[:_BARS]]
        blocks.append(
            context.chart(
                plot_bars(bars),
                "counts",
                alt="Images of each class",
                caption="Images of each class"
                + (f", the first {_BARS} of {len(counts)}." if len(counts) > _BARS else "."),
            )
        )
        tables.insert(0, _counts_table(counts))
    notes = list(subject.partition.notes) if subject.is_divided else []
    if subject.n_unlabelled:
        notes.append(f"{subject.n_unlabelled} images without a label are left out.")
    return SectionResult(_conclude(subject, checks), numbers, (*blocks, *tables), tuple(notes))


def _parts(subject: StudyData) -> dict[str, NDArray[np.int64]]:
    """Return the rows by what they are for; the test's are known by being none of the others."""
    if not subject.is_divided:
        return {}
    known = subject.open_rows
    rest = np.setdiff1d(np.arange(len(subject.table)), known)
    partition = subject.partition
    return dict(zip(_PARTS, (partition.train, partition.val, rest), strict=True))


def _counts(
    subject: StudyData, parts: dict[str, NDArray[np.int64]]
) -> list[dict[str, Any]]:  # Any: plain JSON values
    names = subject.table.class_names
    columns = {
        part: np.bincount(subject.table.labels[rows], minlength=len(names))
        for part, rows in parts.items()
    }
    return [
        {
            "class": name,
            **{part: int(column[label]) for part, column in columns.items()},
            "total": int(sum(column[label] for column in columns.values())),
        }
        for label, name in enumerate(names)
        if columns
    ]


def _run_checks(subject: StudyData, parts: dict[str, NDArray[np.int64]]) -> Iterator[CheckResult]:
    """Embedding has read every image once, so what could not be read is known."""
    view, table = subject.views[0], subject.table
    yield check_readable(ScanReport(len(table) + len(subject.bad), subject.bad))
    yield check_image_sizes(table, view.encoder.preprocess)
    if not parts:
        return
    train = table.select(parts["training"])
    yield check_class_counts(train)
    yield check_imbalance(train)
    splits = np.full(len(table), "test", dtype="U5")
    splits[parts["training"]], splits[parts["validation"]] = "train", "val"
    yield check_duplicates(view.vectors, table.ids, splits)
    rows = parts["training"]
    yield from check_labels(view.vectors[rows], table.labels[rows], seed=subject.seed)


def _contact_sheet(subject: StudyData) -> Image.Image:
    table = subject.table
    rng = np.random.default_rng(subject.seed)
    pool = subject.open_rows
    rows = order_by_turns(table.labels[pool], rng)[:_SHOWN]
    captions = [_caption(subject, int(row)) for row in pool[rows]]
    return render_contact_sheet([table.load_image(int(row)) for row in pool[rows]], captions)


def _caption(subject: StudyData, row: int) -> list[str]:
    table, label = subject.table, int(subject.table.labels[row])
    if label >= 0:
        return [table.class_names[label]]
    return [table.captions[row][0]] if table.captions and table.captions[row] else [table.ids[row]]


def _sheet_caption(subject: StudyData) -> str:
    where = "outside the locked test" if subject.is_divided else "of the data set"
    return f"Images {where}, drawn at random, every class in turn."


def _counts_table(counts: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("class", "class"),
        *(Column(part.replace(" ", "_"), part, "integer") for part in _PARTS),
        Column("total", "all", "integer"),
    )
    rows = tuple((row["class"], *(row[part] for part in _PARTS), row["total"]) for row in counts)
    return Table("counts", "Images by class and use", columns, rows, shown=12)


def checks_table(checks: Sequence[CheckResult]) -> Table:
    """Make a table of checks: what was found and what to do."""
    columns = (
        Column("check", "check"),
        Column("status", "status", "status"),
        Column("meaning", "what was found"),
        Column("advice", "what to do"),
    )
    rows = tuple((c.name.replace("_", " "), c.status, c.meaning, c.advice) for c in checks)
    return Table("checks", "Checks", columns, rows)


def _conclude(subject: StudyData, checks: Sequence[CheckResult]) -> str:
    table = subject.table
    if subject.is_divided:
        test = subject.partition.test.n
        lead = (
            f"{len(table):,} images of {len(table.class_names)} classes, of which {test:,} are the "
            "locked test."
        )
    elif subject.has_labels:
        lead = (
            f"{len(table):,} images of {len(table.class_names)} classes, too few to train on and "
            "to lock a test away."
        )
    elif table.captions is not None:
        lead = f"{len(table):,} images with captions."
    else:
        lead = f"{len(table):,} images without labels."
    return f"{lead} {what_checks_found(checks)}"


def what_checks_found(checks: Sequence[CheckResult]) -> str:
    """Say in a sentence how many checks found something, and what the first did."""
    odd = [check for check in checks if check.status in ("warned", "failed")]
    if not odd:
        return f"None of the {len(checks)} checks found a problem."
    named = join_words([check.name.replace("_", " ") for check in odd])
    return f"{len(odd)} of {len(checks)} checks found something ({named}): {odd[0].meaning}"
