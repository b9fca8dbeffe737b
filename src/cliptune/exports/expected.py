"""What a run itself says of images, and these as files: the reference of a certificate.

It knows runs and tables, and no graph.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cliptune.classifiers.label_classifier import limits_of
from cliptune.exports.parity import Expected
from cliptune.images.decode import decode_image

if TYPE_CHECKING:
    from cliptune.exports.source import ExportSource
    from cliptune.images import ImageTable

__all__ = ["expected_answers"]


def expected_answers(
    source: ExportSource,
    table: ImageTable,
    folder: Path,
    progress: Callable[[int, int], None],
) -> Expected:
    """Decode images at their full size, let the run answer, and lay the files into a folder.

    Args:
        source: The run.
        table: N images.
        folder: Where their bytes go, one file each.
        progress: Takes images done and images in all.

    Raises:
        BadImageError: One cannot be read.
    """
    files, pixels, sizes = [], [], []
    for row, image in enumerate(table.sources):
        data = image.read()
        files.append(folder / f"{row}")
        files[-1].write_bytes(data)
        picture = decode_image(data, name=image.location)
        sizes.append(picture.size)
        pixels.append(source.preprocess(picture))
        progress(row + 1, len(table))
    stacked = np.stack(pixels)
    probabilities, embeddings = source.answer(stacked)
    threshold, thresholds = limits_of(source.classifier)
    return Expected(
        ids=tuple(table.ids),
        files=tuple(files),
        pixels=stacked,
        probabilities=probabilities,
        embeddings=embeddings,
        threshold=threshold,
        thresholds=None if thresholds is None else np.array(thresholds),
        sizes=tuple(sizes),
    )
