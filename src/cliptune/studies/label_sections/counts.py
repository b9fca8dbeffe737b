"""What is in the data: labels and how they meet, a contact sheet, problems.

It knows the checks that need no training, and nothing about classifiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.checks import CheckResult
from cliptune.checks.data import check_image_sizes, check_readable
from cliptune.checks.features import check_duplicates
from cliptune.images import ScanReport
from cliptune.plots.contact_sheets import render_contact_sheet
from cliptune.report import Column, Figure, Table
from cliptune.report.charts import Bar, plot_bars
from cliptune.report.document import Block
from cliptune.studies.section_context import SectionContext, SectionResult
from cliptune.studies.sections.data import checks_table, what_checks_found
from cliptune.studies.study_data import LabelSets, StudyData
from cliptune.system.formatting import count, percent

__all__ = ["answer"]

_SHOWN = 18
_BARS = 24
_PAIRS = 12
_NAMED = 3  # labels below a picture


def answer(subject: StudyData, context: SectionContext) -> SectionResult:
    """Count labels and pairs of them, look, and list what is wrong."""
    sets = subject.sets
    assert sets is not None, "images may have several labels"
    counts, pairs = _counts(subject, sets), _pairs(subject, sets)
    checks = list(_run_checks(subject, sets))
    held = sets.truth.sum(axis=1)
    numbers = {
        "images": len(subject.table),
        "classes": len(subject.table.class_names),
        "labels_per_image": float(held.mean()),
        "images_of_several": int((held > 1).sum()),
        "images_of_none": int((held == 0).sum()),
        "unlabelled_left_out": subject.n_unlabelled,
        "unreadable": [{"id": bad.id, "reason": bad.reason} for bad in subject.bad],
        "counts": counts,
        "pairs": pairs,
        "checks": [check.to_dict() for check in checks],
    }
    blocks: tuple[Block, ...] = (
        _contact_sheet(subject, sets, context),
        _bars(context, counts),
        _counts_table(counts),
        *([_pairs_table(pairs)] if pairs else []),
        checks_table(checks),
    )
    notes = [] if sets.problem else list(sets.partition.notes)
    if subject.n_unlabelled:
        notes.append(f"{count(subject.n_unlabelled)} images without a label are left out.")
    return SectionResult(_conclude(subject, sets, checks), numbers, blocks, tuple(notes))


def _parts(subject: StudyData, sets: LabelSets) -> Mapping[str, NDArray[np.int64]]:
    """Return the rows by what they are for; the test's are known by being none of the others."""
    if sets.problem:
        return {}
    train = sets.partition.train
    return {
        "training": train,
        "locked test": np.setdiff1d(np.arange(len(subject.table)), train),
    }


def _counts(subject: StudyData, sets: LabelSets) -> list[dict[str, Any]]:  # Any: plain JSON values
    total = sets.truth.sum(axis=0)
    columns = {part: sets.truth[rows].sum(axis=0) for part, rows in _parts(subject, sets).items()}
    return [
        {
            "class": name,
            **{part: int(column[code]) for part, column in columns.items()},
            "total": int(total[code]),
        }
        for code, name in enumerate(subject.table.class_names)
    ]


def _pairs(subject: StudyData, sets: LabelSets) -> list[dict[str, Any]]:  # Any: plain JSON values
    """List the labels that most often stand on one image."""
    names, held = subject.table.class_names, sets.truth.astype(np.int64)
    together = np.triu(held.T @ held, k=1)
    order = np.argsort(-together, axis=None, kind="stable")[:_PAIRS]
    found = []
    for first, second in zip(*np.unravel_index(order, together.shape), strict=True):
        n = int(together[first, second])
        if n:
            least = int(min(held[:, first].sum(), held[:, second].sum()))
            found.append({"labels": [names[first], names[second]], "images": n, "share": n / least})
    return found


def _run_checks(subject: StudyData, sets: LabelSets) -> Iterator[CheckResult]:
    """Embedding has read every image once, so what could not be read is known."""
    view, table = subject.views[0], subject.table
    yield check_readable(ScanReport(len(table) + len(subject.bad), subject.bad))
    yield check_image_sizes(table, view.encoder.preprocess)
    if sets.problem:
        return
    splits = np.full(len(table), "test", dtype="U5")
    splits[sets.partition.train] = "train"
    yield check_duplicates(view.vectors, table.ids, splits)


def _contact_sheet(subject: StudyData, sets: LabelSets, context: SectionContext) -> Figure:
    pool = subject.open_rows
    rows = pool[np.random.default_rng(subject.seed).permutation(len(pool))[:_SHOWN]]
    captions = [_caption(subject, sets.truth[row]) for row in rows.tolist()]
    return context.picture(
        render_contact_sheet([subject.table.load_image(row) for row in rows.tolist()], captions),
        "contact-sheet",
        wide=True,
        alt="A grid of images with their labels",
        caption=f"Images {subject.where}, drawn at random.",
    )


def _caption(subject: StudyData, held: NDArray[np.bool_]) -> list[str]:
    names = [subject.table.class_names[code] for code in np.flatnonzero(held).tolist()]
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return [*names[:_NAMED], *more] or ["none of them"]


def _bars(context: SectionContext, counts: Sequence[Mapping[str, Any]]) -> Figure:
    bars = [Bar(row["class"], row["total"], count(row["total"])) for row in counts[:_BARS]]
    some = f", the first {_BARS} of {len(counts)}" if len(counts) > _BARS else ""
    return context.chart(
        plot_bars(bars),
        "counts",
        alt="Images that have each label",
        caption=f"Images that have each label{some}.",
    )


def _counts_table(counts: Sequence[Mapping[str, Any]]) -> Table:
    parts = [name for name in counts[0] if name not in ("class", "total")]
    columns = (
        Column("class", "label"),
        *(Column(part.replace(" ", "_"), part, "integer") for part in parts),
        Column("total", "all", "integer"),
    )
    rows = tuple((row["class"], *(row[part] for part in parts), row["total"]) for row in counts)
    return Table("counts", "Images by label and use", columns, rows, shown=12)


def _pairs_table(pairs: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        Column("first", "label"),
        Column("second", "and"),
        Column("images", "images", "integer"),
        Column("share", "of the rarer one's", "percent"),
    )
    rows = tuple((*pair["labels"], pair["images"], pair["share"]) for pair in pairs)
    return Table("pairs", "Labels that meet most often", columns, rows)


def _conclude(subject: StudyData, sets: LabelSets, checks: Sequence[CheckResult]) -> str:
    held = sets.truth.sum(axis=1)
    n = len(held)
    lead = (
        f"{count(n)} images with {len(subject.table.class_names)} labels, {held.mean():.1f} an "
        f"image; {percent(float((held > 1).mean()))} of the images have several"
    )
    lead += (
        ". They are too few to train on and to lock a test away."
        if sets.problem
        else f", and {count(sets.partition.test.n)} are the locked test."
    )
    return f"{lead} {what_checks_found(checks)}"
