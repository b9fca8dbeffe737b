"""The locked test of a job, opened once: every method scored in one pass over its rows.

It knows methods that were fitted, and writes their answers down as it goes.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import Fitted
from cliptune.evaluation.calibration import apply_temperature
from cliptune.evaluation.metric_sums import MetricSums
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison, compare_counts
from cliptune.partwise.choosing import PartTask
from cliptune.partwise.roles import Role
from cliptune.partwise.rows import LabelledRows

__all__ = ["MISTAKES", "Opened", "open_test"]

MISTAKES = 1000  # the most confident ones, which are listed


@dataclass
class Opened:
    """What the methods answered for the test.

    Attributes:
        names: Of the methods.
        sums: Of each, what its scores need.
        only: int64 (M, M), rows that the first of two methods gets right and the second wrong.
        mistakes: The most confident mistakes of the shipped method: id, label, answer, probability
            and that of the label, the surest first.
    """

    names: tuple[str, ...]
    sums: tuple[MetricSums, ...]
    only: NDArray[np.int64]
    mistakes: list[tuple[str, int, int, float, float]] = field(default_factory=list)

    def metrics(self, name: str, class_names: tuple[str, ...], seed: int) -> Metrics:
        """Return the scores of a method."""
        return self.sums[self.names.index(name)].metrics(class_names, seed=seed)

    def compare(self, first: str, second: str, seed: int) -> Comparison:
        """Compare two methods on the test."""
        one, other = self.names.index(first), self.names.index(second)
        lost, won = int(self.only[one, other]), int(self.only[other, one])
        return compare_counts(lost, won, self.sums[0].n, seed=seed)


def open_test(
    task: PartTask, fitted: Mapping[str, Fitted], *, shipped: str, predictions: Path
) -> Opened:
    """Score methods on the test rows, and write the answers to them.

    ``predictions`` becomes a Parquet file: id, split, label and class name, and of each method its
    answer and that one's probability.

    Args:
        task: The rows.
        fitted: Methods by name.
        shipped: Whose mistakes are listed.
        predictions: The file.
    """
    import pyarrow.parquet as pq

    names, class_names = tuple(fitted), task.rows.roles.class_names
    sums = tuple(MetricSums(task.n_classes) for _ in names)
    opened = Opened(names, sums, np.zeros((len(names), len(names)), np.int64))
    worst: list[tuple[float, str, int, int, float]] = []
    writer = None
    try:
        with task.stage("the locked test") as show:
            for batch in task.rows.batches(
                [Role.TEST], columns=["id", "split", "class_name"], progress=show
            ):
                answers = {name: _answers(fitted[name], batch.vectors) for name in names}
                _count(opened, answers, batch.labels)
                _keep_worst(worst, answers[shipped], batch)
                table = _table(answers, batch, class_names)
                writer = writer or pq.ParquetWriter(predictions, table.schema)
                writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    ordered = sorted(worst, key=lambda one: (-one[0], one[1]))
    opened.mistakes += [(i, label, said, p, own) for p, i, label, said, own in ordered]
    return opened


def _answers(fitted: Fitted, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    return apply_temperature(fitted.head.predict_logits(vectors), fitted.temperature)


def _count(
    opened: Opened, answers: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64]
) -> None:
    for sums, probabilities in zip(opened.sums, answers.values(), strict=True):
        sums.add(labels, probabilities)
    right = np.stack([one.argmax(axis=1) == labels for one in answers.values()]).astype(np.int64)
    opened.only += right @ (1 - right).T


def _keep_worst(
    worst: list[tuple[float, str, int, int, float]],
    probabilities: NDArray[np.float64],
    batch: LabelledRows,
) -> None:
    """Keep the most confident mistakes so far in a heap of bounded size."""
    said = probabilities.argmax(axis=1)
    for row in np.flatnonzero(said != batch.labels).tolist():
        label, answer = int(batch.labels[row]), int(said[row])
        sure = float(probabilities[row, answer])
        if len(worst) == MISTAKES and sure <= worst[0][0]:
            continue
        name = str(batch.columns.column("id")[row].as_py())
        entry = (sure, name, label, answer, float(probabilities[row, label]))
        if len(worst) < MISTAKES:
            heapq.heappush(worst, entry)
        else:
            heapq.heapreplace(worst, entry)


def _table(
    answers: Mapping[str, NDArray[np.float64]], batch: LabelledRows, class_names: tuple[str, ...]
) -> Any:  # Any: pyarrow has no types
    import pyarrow as pa

    columns = {
        "id": batch.columns.column("id"),
        "split": batch.columns.column("split"),
        "label": pa.array(batch.labels),
        "class_name": batch.columns.column("class_name"),
    }
    known = pa.array(class_names, pa.string())
    for name, probabilities in answers.items():
        top = probabilities.argmax(axis=1)
        columns[f"{name}.predicted"] = known.take(pa.array(top))
        columns[f"{name}.probability"] = pa.array(probabilities.max(axis=1).astype(np.float32))
    return pa.table(columns)
