"""What a fitted run shows of its data: who saw what, likely label errors, look-alikes.

It lists and shows what was computed elsewhere, as CSV and as contact sheets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.head_data import HeadData
from cliptune.evaluation.label_errors import find_label_errors, out_of_fold_probabilities
from cliptune.images import ImageTable
from cliptune.plots.contact_sheets import render_contact_sheet
from cliptune.runs import RunDir
from cliptune.splits.partition import Partition

__all__ = ["write_label_errors", "write_partition"]

_SHEET_IMAGES = 36
_SHEET_PAIRS = 18


def write_partition(
    run: RunDir, table: ImageTable, partition: Partition, test_rows: NDArray[np.int64]
) -> None:
    """Write who saw which image, and pairs that look alike across what was kept apart.

    ``partition.csv`` and ``near_duplicates.csv``, and of the pairs most alike a contact sheet,
    ``near_duplicates.jpg``.
    """
    ids = table.ids
    parts = (("train", partition.train), ("val", partition.val), ("test", test_rows))
    run.write_csv("partition.csv", ["id", "part"], ((ids[i], p) for p, rows in parts for i in rows))
    pairs = partition.duplicates
    order = np.argsort(-pairs.similarity, kind="stable")
    alike = [(int(pairs.first[p]), int(pairs.second[p]), float(pairs.similarity[p])) for p in order]
    run.write_csv(
        "near_duplicates.csv",
        ["seen", "test", "similarity"],
        ((ids[a], ids[b], f"{similarity:.4f}") for a, b, similarity in alike),
    )
    tiles, captions = [], []
    for seen, test, similarity in alike[:_SHEET_PAIRS]:
        for row, place in ((seen, "seen"), (test, "test")):
            tiles.append(table.load_image(row))
            name = table.class_names[int(table.labels[row])]
            captions.append([f"{place}: {name}", f"pair alike to {similarity:.3f}"])
    if tiles:
        _write_sheet(run, "near_duplicates.jpg", tiles, captions)


def write_label_errors(
    run: RunDir, task: HeadData, table: ImageTable
) -> dict[str, Any] | None:  # Any: plain JSON values
    """Look for wrong labels among the training and validation images and list them.

    ``label_errors.csv`` holds all of them, the surest first, ``label_errors.jpg`` shows 36.

    Returns:
        How many there are among how many images; None where a class has a single image.
    """
    rows = np.concatenate([task.train, task.val])
    labels = task.labels[rows]
    probabilities = out_of_fold_probabilities(
        task.vectors[rows],
        labels,
        text_rows=task.text_rows,
        logit_scale=task.logit_scale,
        seed=task.seed,
    )
    if probabilities is None:
        return None
    found = find_label_errors(labels, probabilities)
    names, ids = task.class_names, table.ids
    lines, captions = [], []
    for row, suggested in zip(found.rows, found.suggested, strict=True):
        label = int(labels[row])
        part = "train" if row < len(task.train) else "val"
        chances = [float(probabilities[row, c]) for c in (label, suggested)]
        lines.append(
            [ids[rows[row]], part, names[label], names[suggested], *(f"{c:.6f}" for c in chances)]
        )
        captions.append([f"is {names[label]}", f"rather {names[suggested]} {chances[1]:.2f}"])
    header = ["id", "part", "label", "suggested", "label_probability", "suggested_probability"]
    run.write_csv("label_errors.csv", header, lines)
    if lines:
        tiles = [table.load_image(int(rows[row])) for row in found.rows[:_SHEET_IMAGES]]
        _write_sheet(run, "label_errors.jpg", tiles, captions[:_SHEET_IMAGES])
    return {"n": len(found), "n_images": len(rows)}


def _write_sheet(run: RunDir, name: str, tiles: list[Any], captions: list[list[str]]) -> None:
    with run.writing(name) as temporary:
        render_contact_sheet(tiles, captions).save(temporary, quality=88)
