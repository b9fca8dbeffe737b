"""All checks in a sensible order: what is cheap and what others rest on comes first.

It knows nothing about how results are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.checks.data import (
    check_class_counts,
    check_contact_sheet,
    check_image_sizes,
    check_imbalance,
    check_readable,
)
from cliptune.checks.features import check_duplicates, check_labels, check_zero_shot
from cliptune.checks.results import CHECK_NAMES, CheckResult
from cliptune.checks.training import (
    check_gradient_flow,
    check_initial_loss,
    check_overfit,
    check_rate_range,
)
from cliptune.checks.trial import take_batch
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.setup import open_session
from cliptune.images import ImageTable, ScanReport, drop_bad, scan_images
from cliptune.prompts import ensemble_rows

__all__ = ["run_checks"]

_MAX_IMAGES = 5000  # embedded a split; the first thousands tell
_IMAGES_AT_ONCE = 64
_BATCH = 8
_TRAINING_CHECKS = CHECK_NAMES[CHECK_NAMES.index("initial_loss") :]


def run_checks(
    encoder: TorchEncoder,
    table: ImageTable,
    *,
    templates: tuple[str, ...],
    options: FinetuneOptions | None = None,
    folder: Path | None = None,
    seed: int = 0,
    report: ScanReport | None = None,
    embed: Callable[[ImageTable], NDArray[np.float32]] | None = None,
) -> Iterator[CheckResult]:
    """Run all checks; the encoder's weights stay as they are.

    Args:
        encoder: In fp32 when ``options`` are given.
        table: Labelled images with the splits ``train`` and ``val``, perhaps ``test``; the
            labels of ``test`` are not read.
        templates: Texts with one ``{}`` each.
        options: Of the fine-tuning to come; nothing skips the checks of training.
        folder: Where the contact sheet goes; nothing draws none.
        seed: Of samples and folds.
        report: Which images cannot be read, where that is known: ``table`` then holds only
            readable ones.
        embed: Gives the encoder's rows of a table, such as kept ones.

    Yields:
        One result for each of ``CHECK_NAMES``, in that order, each as soon as it is known.

    Raises:
        InputError: The options contradict each other or the data.
    """
    if report is None:
        report = scan_images(table)
        table = drop_bad(table, report)
    yield check_readable(report)
    train = table.split("train")
    yield check_class_counts(train)
    yield check_imbalance(train)
    yield check_image_sizes(table, encoder.preprocess)
    rows = _sample(table, seed)
    sampled = table.select(rows)
    vectors = _embed(encoder, sampled) if embed is None else embed(sampled)
    yield check_duplicates(vectors, sampled.ids, sampled.splits)
    augment = options.augment if options is not None else "light"
    yield check_contact_sheet(train, encoder.preprocess, augment, folder)
    seen = sampled.splits == "train"
    class_rows = ensemble_rows(encoder.encode_texts, table.class_names, templates)
    yield check_zero_shot(
        vectors[seen], sampled.labels[seen], class_rows=class_rows, scale=encoder.logit_scale
    )
    yield from check_labels(vectors[seen], sampled.labels[seen], seed=seed)
    if options is None:
        yield from _skip_training_checks()
    else:
        yield from _check_training(encoder, table, templates, options)


def _check_training(
    encoder: TorchEncoder, table: ImageTable, templates: tuple[str, ...], options: FinetuneOptions
) -> Iterator[CheckResult]:
    train = table.split("train")
    data = TrainingData(train, table.split("val"), templates)
    small = replace(options, batch_size=min(_BATCH, len(train)), micro_batch_size=_BATCH)
    with open_session(encoder, data, small, watch={}, trackers=(), folder=None) as session:
        batches = [take_batch(session, _BATCH, number=n) for n in range(3)]
        yield check_initial_loss(session, batches[0])
        yield check_gradient_flow(session, batches[0])
        result, rate = check_rate_range(session, batches)
        yield result
        yield from check_overfit(session, batches[0], rate)


def _skip_training_checks() -> Iterator[CheckResult]:
    for name in _TRAINING_CHECKS:
        yield CheckResult(
            name,
            "skipped",
            None,
            None,
            "No fine-tuning was asked for.",
            "Name its method with --method to check the training too.",
        )


def _sample(table: ImageTable, seed: int) -> NDArray[np.int64]:
    """Take at most so many labelled images of each split."""
    rng = np.random.default_rng(seed)
    chosen = []
    for name in np.unique(table.splits):
        rows = np.flatnonzero((table.splits == name) & ((table.labels >= 0) | (name == "test")))
        chosen.append(rng.permutation(rows)[:_MAX_IMAGES])
    return np.sort(np.concatenate(chosen))


def _embed(encoder: TorchEncoder, table: ImageTable) -> NDArray[np.float32]:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(table), _IMAGES_AT_ONCE):
            rows = range(start, min(start + _IMAGES_AT_ONCE, len(table)))
            pixels = np.stack([encoder.preprocess(table.load_image(row)) for row in rows])
            parts.append(encoder.encode_images(pixels))
    return np.concatenate(parts)
