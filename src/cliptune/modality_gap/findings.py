"""What is found out about each view: its gap, its predictions, its answer to a shift.

It knows nothing about pictures or about other views.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import Score
from cliptune.modality_gap.gap import Gap, measure_gap
from cliptune.modality_gap.inputs import MapInputs, MapOptions, MapView
from cliptune.modality_gap.measured import Space, to_score
from cliptune.modality_gap.pairing import Pairing
from cliptune.modality_gap.retrieval import nearest_rows
from cliptune.modality_gap.shift import ShiftCurve, shift_along_gap

__all__ = ["Finding", "measure_view"]


@dataclass(frozen=True)
class Finding:
    """One view with all that was found out about it.

    Attributes:
        view: The vectors.
        gap: The numbers with their resamples.
        scores: The numbers with their intervals.
        nearest: int (N,), the row of the text nearest to each image.
        predicted: int (N,), the group that the view's classifier, or else that text, names.
        shift: Scores along the gap, if asked for.
    """

    view: MapView
    gap: Gap
    scores: dict[str, Score]
    nearest: NDArray[np.int64]
    predicted: NDArray[np.int64]
    shift: ShiftCurve | None


def measure_view(
    view: MapView,
    inputs: MapInputs,
    paired: tuple[Pairing, NDArray[np.int64], NDArray[np.int64]],
    options: MapOptions,
) -> Finding:
    """Measure one view.

    Args:
        view: Its vectors.
        inputs: Groups and labels.
        paired: What ``pair_by_group`` returns: the pairing, rows of images, rows of texts.
        options: Seed, and whether to shift.
    """
    pairing, images, texts = paired
    assert view.text_vectors is not None, "check_inputs refuses views without texts"
    relation = inputs.relation
    space = Space(
        images=view.image_vectors[images],
        texts=view.text_vectors[texts],
        pairing=pairing,
        relation=relation.select(images, texts),
    )
    gap = measure_gap(space, seed=options.seed)
    nearest = nearest_rows(view.image_vectors, view.text_vectors)
    shift = None
    if options.shift:
        shift = shift_along_gap(
            view.image_vectors,
            view.text_vectors,
            inputs.image_groups,
            inputs.text_groups,
            relation=relation,
            seed=options.seed,
        )
    return Finding(
        view=view,
        gap=gap,
        scores={name: to_score(number) for name, number in gap.numbers.items()},
        nearest=nearest,
        predicted=_named_by(nearest, inputs) if view.predictions is None else view.predictions,
        shift=shift,
    )


def _named_by(nearest: NDArray[np.int64], inputs: MapInputs) -> NDArray[np.int64]:
    """Return the group of the nearest text: the image's own where it owns an equal text."""
    rows = np.arange(len(nearest))
    owned = inputs.relation.owns(rows, nearest)
    return np.where(owned, inputs.image_groups, inputs.text_groups[nearest])
