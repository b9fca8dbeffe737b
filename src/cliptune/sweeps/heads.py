"""Training the cells of a sweep over heads: whole stacks at once, on cached features.

It knows nothing about studies or grids; it is given cells and gives trials.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.head_data import HeadData, head_input
from cliptune.heads import HEADS, Head, Member, TrainingPlan
from cliptune.heads.contract import FitData, check_fit
from cliptune.heads.grids import GradientHead
from cliptune.heads.linear import LinearHead
from cliptune.heads.training import train_stacked
from cliptune.sweeps.data import stratified_order
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.records import Trial, TrialConfig

__all__ = ["HeadTrainer"]

_MEASURED_STEPS = 3


class HeadTrainer:
    """Trains heads on the features of a task.

    Args:
        task: Features, labels, and who may see which row.
        options: What all cells have in common.
    """

    def __init__(self, task: HeadData, options: SweepOptions) -> None:
        self._task, self._options = task, options
        self._order = stratified_order(task.labels[task.train], seed=task.seed)
        self._seconds_a_step: float | None = None

    @property
    def n_train(self) -> int:
        """Training images."""
        return len(self._task.train)

    @property
    def n_val(self) -> int:
        """Validation images."""
        return len(self._task.val)

    def measure(self, cell: TrialConfig) -> float:
        """Return the seconds that a cell takes on its own, from a few steps of it."""
        if self._options.method == "linear":
            began = time.perf_counter()
            list(self._solve([cell]))
            return time.perf_counter() - began
        rows = min(cell.n_train, _MEASURED_STEPS * cell.batch_size)
        few = replace(cell, n_train=rows, steps=-(-rows // cell.batch_size))
        began = time.perf_counter()
        list(self._train_stack([few]))
        self._seconds_a_step = (time.perf_counter() - began) / few.steps
        return self._seconds_a_step * cell.steps

    def affordable(self, cells: Sequence[TrialConfig], seconds: float) -> Sequence[TrialConfig]:
        """Return the first cells that fit into a time, each costed as if it trained alone."""
        if self._seconds_a_step is None or not math.isfinite(seconds):
            return cells
        costs = np.cumsum([self._seconds_a_step * cell.steps for cell in cells])
        return cells[: int((costs <= seconds).sum())]

    def train(self, cells: Sequence[TrialConfig]) -> Iterator[tuple[TrialConfig, Trial]]:
        """Train cells, those of the same size and seed as one stack.

        Yields:
            Cells with their trials, those of each stack when it ends.
        """
        if self._options.method == "linear":
            yield from self._solve(cells)
            return
        sizes = dict.fromkeys((c.batch_size, c.n_train, c.steps) for c in cells)
        for size in sizes:
            alike = [c for c in cells if (c.batch_size, c.n_train, c.steps) == size]
            began, n_steps = time.perf_counter(), size[2] * len(alike)
            yield from self._train_stack(alike)
            self._seconds_a_step = (time.perf_counter() - began) / n_steps

    def _train_stack(self, cells: Sequence[TrialConfig]) -> Iterator[tuple[TrialConfig, Trial]]:
        first, options = cells[0], self._options
        plan = TrainingPlan(
            optimizer=options.optimizer,
            epochs=first.steps // -(-first.n_train // first.batch_size),
            batch_size=first.batch_size,
            products=options.products,
            max_memory_bytes=options.max_memory_bytes,
        )
        arguments: dict[str, Any] = {"plan": plan}  # Any: each its own
        if options.start == "random":
            arguments["start"] = options.start
        head = cast(GradientHead, HEADS[options.method](**arguments))
        data = self._fit_data(head, first.n_train)
        members = [Member(c.rates["lr"], c.rates.get("wd", 0.0), c.seed) for c in cells]
        for one in train_stacked(head.make_stack(data), data, members, plan):
            record = one.history[one.best_epoch]
            fitted = cast(Head, replace(head).adopt(one, data))  # type: ignore[type-var]  # a dataclass
            assert record.val_accuracy is not None, "there are validation rows"
            assert record.val_loss is not None, "there are validation rows"
            yield (
                cells[one.index],
                Trial(
                    cell=cells[one.index],
                    val_accuracy=record.val_accuracy,
                    val_loss=record.val_loss,
                    diverged=one.diverged,
                    seconds=one.seconds,
                    losses=tuple(r.train_loss for r in one.history),
                    hits=self._hits(fitted, data),
                ),
            )

    def _solve(self, cells: Sequence[TrialConfig]) -> Iterator[tuple[TrialConfig, Trial]]:
        for cell in cells:
            began = time.perf_counter()
            head = LinearHead(penalty=cell.rates["penalty"])
            data = self._fit_data(head, cell.n_train)
            head.fit(
                data.X,
                data.y,
                text_rows=data.text_rows,
                logit_scale=data.logit_scale,
                validation=data.validation,
            )
            end = head.history_[-1]
            assert end.val_loss is not None, "there are validation rows"
            hits = self._hits(head, data)
            yield (
                cell,
                Trial(
                    cell=cell,
                    val_accuracy=float(hits.mean()),
                    val_loss=end.val_loss,
                    diverged=False,
                    seconds=time.perf_counter() - began,
                    losses=tuple(r.train_loss for r in head.history_),
                    hits=hits,
                ),
            )

    def _fit_data(self, head: GradientHead | Head, n_train: int) -> FitData:
        task = self._task
        rows = task.train[np.sort(self._order[:n_train])]
        return check_fit(
            head_input(task, cast(Head, head), rows),
            task.labels[rows],
            text_rows=task.text_rows,
            logit_scale=task.logit_scale,
            n_classes=None,
            validation=(head_input(task, cast(Head, head), task.val), task.labels[task.val]),
            needs=head.needs,
        )

    def _hits(self, head: Head, data: FitData) -> NDArray[np.bool_]:
        assert data.validation is not None, "sweeps always have one"
        X, y = data.validation
        hits: NDArray[np.bool_] = head.predict_logits(X).argmax(axis=1) == y
        return hits
