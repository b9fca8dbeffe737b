"""The beginning of a study: which images it rests on, its key, its folder, the speed here.

It knows tables and encoders, and nothing about sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cliptune.encoders import DualEncoder
from cliptune.features import FeatureStore
from cliptune.features.digests import MEMO_NAME, content_digests
from cliptune.features.keys import table_digest
from cliptune.images import ImageTable
from cliptune.places import file_stem
from cliptune.runs import RunDir
from cliptune.study.options import StudyOptions
from cliptune.study.plan import require_budget
from cliptune.study.shelf import digest_of
from cliptune.study.speed import Speed, measure_speed

__all__ = ["claim_folder", "labelled_part", "measure_speeds", "study_key"]


def labelled_part(table: ImageTable) -> tuple[ImageTable, int]:
    """Return the images with labels, and how many have none; without any label all images."""
    labelled = table.labels >= 0
    if not labelled.any():
        return table, 0
    return table.select(labelled), int((~labelled).sum())


def study_key(
    table: ImageTable,
    encoders: Mapping[str, DualEncoder],
    options: StudyOptions,
    store: FeatureStore,
    *,
    precision: str,
) -> str:
    """Return a digest of everything that shapes all sections alike.

    Args:
        table: The images, their bytes included.
        encoders: By the name that the user gave.
        options: Of them seed and validation share count; the budget does not.
        store: Its memo knows the digests of files that were read before.
        precision: As it was asked for. Which engine runs an encoder is chosen by measurement
            and keeps its answers, so it does not count: a study goes on after another choice.
    """
    store.cache_dir.mkdir(parents=True, exist_ok=True)
    memo = store.cache_dir / MEMO_NAME
    contents = content_digests(table.sources, memo, workers=store.workers)
    return digest_of(
        {
            "table": table.digest(),
            "contents": table_digest(contents),
            "encoders": {
                name: [e.fingerprint, e.preprocess.to_dict()] for name, e in encoders.items()
            },
            "precision": precision,
            "seed": options.seed,
            "val_fraction": options.val_fraction,
        }
    )


def claim_folder(out: Path | None, options: StudyOptions, key: str) -> Path:
    """Make the study's folder, or take up the same study's.

    Args:
        out: Where; without it ``runs/study-<data>-<key>``, the same for the same study.
        options: What was asked for.
        key: See ``study_key``.

    Raises:
        RunError: Something else is there.
        UnavailableError: It cannot be written to.
    """
    config = {
        "command": "study",
        "key": key,
        "data": options.data,
        "models": list(options.models),
        "seed": options.seed,
        "val_fraction": options.val_fraction,
    }
    return RunDir.create(
        out or Path("runs") / f"study-{file_stem(options.data)}-{key[:8]}", config
    ).path


def measure_speeds(
    table: ImageTable, encoders: Mapping[str, DualEncoder], options: StudyOptions
) -> dict[str, Speed]:
    """Measure each encoder here, and refuse a budget that embedding alone would use up.

    Raises:
        InputError: The budget is too small; the message says what the least is.
    """
    speeds = {
        name: measure_speed(encoder, table, seed=options.seed) for name, encoder in encoders.items()
    }
    require_budget(len(table), speeds, options.budget_seconds)
    return speeds
