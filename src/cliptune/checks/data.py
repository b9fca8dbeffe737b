"""Checks of the images and labels themselves.

They know no model beyond the size of its input.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.checks.results import CheckResult
from cliptune.encoders.preprocess import Preprocess
from cliptune.finetuning.augment import augment_image
from cliptune.images import ImageTable, ScanReport
from cliptune.plots.contact_sheets import render_contact_sheet
from cliptune.system.atomic import atomic_path

__all__ = [
    "check_class_counts",
    "check_contact_sheet",
    "check_image_sizes",
    "check_imbalance",
    "check_readable",
]

_FEW_IMAGES = 5
_IMBALANCED = 10.0
_LISTED = 20
_SIZES_READ = 500
_SHOWN = 24


def check_readable(report: ScanReport) -> CheckResult:
    """Say which images cannot be decoded."""
    listed = [{"id": bad.id, "reason": bad.reason} for bad in report.bad[:_LISTED]]
    n_bad = len(report.bad)
    return CheckResult(
        name="readable",
        status="failed" if n_bad else "passed",
        value={"images": report.n_images, "unreadable": n_bad, "listed": listed},
        expected={"unreadable": 0},
        meaning=(
            f"{n_bad} of the {report.n_images} images cannot be decoded."
            if n_bad
            else f"All {report.n_images} images can be decoded."
        ),
        advice=(
            "Replace or remove them, or go on without them by --on-bad-image skip."
            if n_bad
            else "Nothing to do."
        ),
    )


def check_class_counts(train: ImageTable) -> CheckResult:
    """Count the training images of each class."""
    counts = _counts(train)
    few = [name for name, n in counts.items() if n < _FEW_IMAGES]
    none = [name for name, n in counts.items() if n == 0]
    shown = ", ".join((none or few)[:5])
    return CheckResult(
        name="class_counts",
        status="failed" if none else "warned" if few else "passed",
        value=counts,
        expected=f"at least {_FEW_IMAGES} training images a class",
        meaning=(
            f"{len(none)} class(es) have no training image: {shown}."
            if none
            else f"{len(few)} class(es) have fewer than {_FEW_IMAGES} training images: {shown}."
            if few
            else f"Every one of the {len(counts)} classes has {min(counts.values())} or more."
        ),
        advice=("Add images of them, or leave the classes out." if few else "Nothing to do."),
    )


def check_imbalance(train: ImageTable) -> CheckResult:
    """Compare the largest with the smallest class."""
    counts = [n for n in _counts(train).values() if n]
    ratio = max(counts) / min(counts)
    uneven = ratio > _IMBALANCED
    return CheckResult(
        name="imbalance",
        status="warned" if uneven else "passed",
        value=round(ratio, 3),
        expected=f"at most {_IMBALANCED:g}",
        meaning=f"The largest class has {ratio:.1f} times the images of the smallest.",
        advice=(
            "Fit with --balance loss (a model itself with --balanced-batches), and read balanced "
            "accuracy instead of accuracy: --select balanced-accuracy."
            if uneven
            else "Nothing to do."
        ),
    )


def check_image_sizes(table: ImageTable, preprocess: Preprocess) -> CheckResult:
    """Compare the pictures' own sizes with what the model sees; reads headers only."""
    chosen = np.random.default_rng(0).permutation(len(table))[:_SIZES_READ]
    sides = np.asarray([_size(table, int(row)) for row in np.sort(chosen)])
    shorter = sides.min(axis=1)
    needed = preprocess.side
    median = float(np.median(shorter))
    small = median < needed / 2
    return CheckResult(
        name="image_sizes",
        status="warned" if small else "passed",
        value={
            "read": len(sides),
            "smallest_side": int(shorter.min()),
            "median_shorter_side": median,
            "largest_side": int(sides.max()),
        },
        expected=f"a median shorter side of at least {needed // 2} pixels",
        meaning=(
            f"Half of the images have fewer than {median:.0f} pixels on the shorter side; the "
            f"model sees {needed}."
        ),
        advice=(
            "They are enlarged to several times their size: use templates for images of few "
            "pixels, and expect more from fine-tuning than from zero-shot."
            if small
            else "Nothing to do."
        ),
    )


def check_contact_sheet(
    train: ImageTable, preprocess: Preprocess, augment: str, folder: Path | None
) -> CheckResult:
    """Draw what the model sees: images after preprocessing, and a random view of each."""
    if folder is None:
        return CheckResult(
            "contact_sheet",
            "skipped",
            None,
            None,
            "No place for a picture was given.",
            "Name a folder with --out to see what the model sees.",
        )
    path = folder / "what-the-model-sees.jpg"
    rng = np.random.default_rng(0)
    pictures, captions = [], []
    for row in rng.permutation(len(train))[: _SHOWN // 2]:
        image = train.load_image(int(row))
        label = int(train.labels[row])
        name = train.class_names[label] if label >= 0 else "no label"
        views = (preprocess(image), augment_image(image, preprocess, kind=augment, rng=rng))
        for view, kind in zip(views, ("as it is", augment), strict=True):
            pictures.append(Image.fromarray(view.transpose(1, 2, 0)))
            captions.append([name, kind])
    with atomic_path(path) as temporary:
        render_contact_sheet(pictures, captions).save(temporary, quality=88)
    return CheckResult(
        "contact_sheet",
        "passed",
        str(path),
        None,
        "The picture shows training images as the model gets them, and one random view of each.",
        "Look at it: is the object still there, the right way round, and does the name fit?",
    )


def _counts(train: ImageTable) -> dict[str, int]:
    labels: NDArray[np.int64] = train.labels[train.labels >= 0]
    numbers = np.bincount(labels, minlength=len(train.class_names))
    return {name: int(n) for name, n in zip(train.class_names, numbers, strict=True)}


def _size(table: ImageTable, row: int) -> tuple[int, int]:
    with Image.open(io.BytesIO(table.sources[row].read())) as image:
        return image.size
