"""The images that a run was trained on, embedded once more for comparison.

It knows runs, tables and the store of features, and no statistics.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import CliptuneError, RunError
from cliptune.serving.drift import Reference, make_reference

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.runs import RunDir

__all__ = ["training_reference"]

_MOST_IMAGES = 2000
_SEED = 0


def training_reference(
    run: RunDir, class_names: tuple[str, ...], encoder: DualEncoder, cache_dir: Path | None
) -> Reference:
    """Embed at most 2000 training images, through the cache, and summarise them.

    Args:
        run: It names the data set, and lists which images it learned from.
        class_names: C names.
        encoder: The run's.
        cache_dir: Where features are kept; the user's cache otherwise.

    Raises:
        RunError: The images are gone, or of other classes.
    """
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable, learnable_part
    from cliptune.images.sample import sample_rows
    from cliptune.system.paths import cache_dir as usual

    try:
        data = str(run.read_json("config.json").get("data"))
        table, _ = learnable_part(ImageTable.open(data))
        if table.class_names != class_names:
            raise RunError(f"{data!r} now has the classes {', '.join(table.class_names[:20])}")
        learned = _learned_from(run)
        table = table.select(np.array([one in learned for one in table.ids], dtype=np.bool_))
        table = table.select(sample_rows(table.labels, _MOST_IMAGES, seed=_SEED))
        features = FeatureStore(cache_dir or usual()).features(encoder, table)
    except CliptuneError as error:
        raise RunError(f"--drift needs the images that the run was fitted on: {error}") from error
    return make_reference(np.asarray(features.vectors), table.labels, len(class_names))


def _learned_from(run: RunDir) -> frozenset[str]:
    """Return the ids of the images that a run saw before its test."""
    with run.file("partition.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["id"] for row in csv.DictReader(file) if row["part"] != "test")
