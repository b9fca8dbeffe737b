"""Zero-shot classification of a labelled data set, scored, compared and written down.

It knows nothing about how options are read or results shown, and runs no model itself: it is
given image vectors and a function that embeds texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import Metrics, compute_metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.images import ImageTable
from cliptune.plots.contact_sheets import render_contact_sheet
from cliptune.prompts import TemplateSet, ensemble_rows, find_equal_classes
from cliptune.runs import RunDir
from cliptune.system.parquet import repeated_columns

__all__ = [
    "ZeroShotScores",
    "compare_with_first",
    "score_template_set",
    "write_misclassified",
    "write_predictions",
]

_SHEET_IMAGES = 36


@dataclass(frozen=True)
class ZeroShotScores:
    """What one template set gives on one data set.

    Attributes:
        template_set: The prompts.
        probabilities: float64 (N, C).
        metrics: The scores.
        equal_classes: Groups of classes with equal texts: the first of each gets all images.
    """

    template_set: TemplateSet
    probabilities: NDArray[np.float64]
    metrics: Metrics
    equal_classes: tuple[tuple[str, ...], ...] = ()


def score_template_set(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    class_names: Sequence[str],
    template_set: TemplateSet,
    encode_texts: Callable[[list[str]], NDArray[np.float32]],
    logit_scale: float,
    seed: int = 0,
) -> ZeroShotScores:
    """Classify image vectors by the nearest class text.

    Args:
        vectors: float32 (N, D), rows of norm 1.
        labels: int (N,), values 0..C-1.
        class_names: C names for the prompts.
        template_set: The prompts.
        encode_texts: Maps T texts to float32 (T, D) rows of norm 1.
        logit_scale: The model's own factor on cosines.
        seed: Seed of the bootstrap.
    """
    rows = ensemble_rows(encode_texts, class_names, template_set.templates)
    head = ZeroShotHead().fit(None, None, text_rows=rows, logit_scale=logit_scale)
    probabilities = head.predict_proba(vectors)
    metrics = compute_metrics(labels, probabilities, class_names=class_names, seed=seed)
    equal = find_equal_classes(class_names, rows)
    return ZeroShotScores(template_set, probabilities, metrics, equal)


def compare_with_first(
    scores: Sequence[ZeroShotScores], labels: NDArray[np.int64], *, seed: int = 0
) -> dict[str, Comparison]:
    """Compare every further template set with the first, on the same images."""
    hits = [s.probabilities.argmax(axis=1) == labels for s in scores]
    return {
        s.template_set.name: compare_correct(hits[0], hit, seed=seed)
        for s, hit in zip(scores[1:], hits[1:], strict=True)
    }


def write_predictions(
    run: RunDir, table: ImageTable, probabilities: Mapping[str, NDArray[np.floating[Any]]]
) -> None:
    """Write ``predictions.parquet``: one row an image, all its probabilities per column group.

    Args:
        run: The run to write into.
        table: N images.
        probabilities: (N, C) by the name of what predicted.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = np.asarray(table.class_names, dtype=object)
    columns: dict[str, Any] = {  # Any: whatever Arrow takes as a column
        "id": list(table.ids),
        "split": table.splits.tolist(),
        "label": table.labels,
        "class_name": [names[label] if label >= 0 else None for label in table.labels],
    }
    for name, scores in probabilities.items():
        top = scores.argmax(axis=1)
        columns[f"{name}.predicted"] = names[top].tolist()
        columns[f"{name}.probability"] = scores[np.arange(len(scores)), top].astype(np.float32)
        flat = pa.array(scores.astype(np.float32).ravel())
        columns[f"{name}.probabilities"] = pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])
    with run.writing("predictions.parquet") as temporary:
        written = pa.table(columns)
        pq.write_table(written, temporary, use_dictionary=repeated_columns(written.schema))


def write_misclassified(
    run: RunDir, table: ImageTable, probabilities: NDArray[np.floating[Any]]
) -> int:
    """Write the errors, the most confident first, as a list and as a contact sheet.

    ``misclassified.csv`` holds all of them, ``misclassified.jpg`` shows the first 36.

    Returns:
        How many there are.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero((predicted != table.labels) & (table.labels >= 0))
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names, ids = table.class_names, table.ids
    lines = []
    for i in wrong:
        label, guess = int(table.labels[i]), int(predicted[i])
        scores = [f"{probabilities[i, c]:.6f}" for c in (guess, label)]
        lines.append([ids[i], names[label], names[guess], *scores])
    header = ["id", "label", "predicted", "probability", "label_probability"]
    run.write_csv("misclassified.csv", header, lines)
    if len(wrong):
        shown = wrong[:_SHEET_IMAGES]
        captions = [
            [
                f"is {names[int(table.labels[i])]}",
                f"said {names[int(predicted[i])]} {confidence[i]:.2f}",
            ]
            for i in shown
        ]
        sheet = render_contact_sheet([table.load_image(int(i)) for i in shown], captions)
        with run.writing("misclassified.jpg") as temporary:
            sheet.save(temporary, quality=88)
    return len(wrong)
