"""A sweep over heads from task to conclusion.

It knows nothing about files, images or how results are shown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.head_data import HeadData
from cliptune.errors import InputError
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.sweeps.advice import advise_head
from cliptune.sweeps.grid import Grid
from cliptune.sweeps.heads import HeadTrainer
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.ranking import competing, judge
from cliptune.sweeps.records import Trial
from cliptune.sweeps.report import Conclusion, grid_of_rates
from cliptune.sweeps.run import Worker
from cliptune.sweeps.store import StudyStore
from cliptune.sweeps.strategy import HeadStrategy
from cliptune.system.formatting import duration

__all__ = ["HeadSweep", "untrained_hits"]


class HeadSweep:
    """The parts of a sweep over heads.

    Args:
        task: Features, labels and who may see which row.
        grid: What is swept.
        options: What all trials share.
        began: ``time.monotonic`` at which the budget began to run.
        budget_seconds: The budget, or infinity.

    Raises:
        InputError: The budget is below one trial; the message says what one costs.
    """

    def __init__(
        self,
        task: HeadData,
        grid: Grid,
        options: SweepOptions,
        *,
        began: float,
        budget_seconds: float = float("inf"),
    ) -> None:
        self._task, self._grid, self._options = task, grid, options
        self._deadline = began + budget_seconds
        self._trainer = HeadTrainer(task, options)
        self._strategy = HeadStrategy(grid, options, self._trainer.n_train)
        if np.isfinite(budget_seconds):
            self._require_one_trial(budget_seconds)

    @property
    def identity(self) -> dict[str, Any]:  # Any: plain JSON values
        """All that trials of one study share, besides the data; grids may differ."""
        shared = asdict(self._options)
        for name in ("search", "n_points", "seeds", "seed", "max_memory_bytes"):
            del shared[name]
        return shared

    @property
    def n_planned(self) -> int:
        """Trials that are certain: those of the grid."""
        n_points = len(self._grid.points())
        if self._options.search == "tpe":
            n_points = self._options.n_points
        return n_points * len(self._options.all_seeds)

    def worker(self, store: StudyStore) -> Worker:
        """Return this process's part in the study."""
        return Worker(store, self._strategy, self._trainer, self._deadline)

    def conclude(self, trials: Sequence[Trial]) -> Conclusion:
        """Judge the trials and say what follows."""
        axis = self._grid.axes[0].name
        rivals = competing(trials)
        verdict = judge(rivals, seed=self._options.seed)
        start = untrained_hits(self._task)
        if verdict is None:
            text = "Every trial diverged or none finished: no rate can be recommended."
            recommendation = {"text": text, "train": False, "freeze": ["image", "text"]}
        else:
            recommendation = advise_head(
                trials, verdict, start, method=self._options.method, axis=axis
            ).to_dict()
        several = [a.name for a in self._grid.axes if len(a.values) > 1]
        return Conclusion(
            trials=tuple(trials),
            verdict=verdict,
            recommendation=recommendation,
            rivals=tuple(rivals),
            curves=tuple(rivals),
            axis=axis,
            curve_axis=axis,
            unit="epoch" if self._options.method != "linear" else "before and at the minimum",
            start_accuracy=float(start.mean()),
            frozen=("image", "text"),
            heatmap=grid_of_rates(rivals, several[1], several[0]) if len(several) == 2 else None,
        )

    def _require_one_trial(self, budget_seconds: float) -> None:
        first = self._strategy.cell(self._grid.points()[0], self._options.seed)
        cost = self._trainer.measure(first)
        left = self._deadline - time.monotonic()
        if cost > left:
            raise InputError(
                f"--budget {budget_seconds:g}s leaves {duration(max(0.0, left))} for trials, and "
                f"one takes about {duration(cost)} ({first.steps} steps of "
                f"{first.batch_size} images); give more, or lower --epochs or --train-images"
            )


def untrained_hits(task: HeadData) -> NDArray[np.bool_]:
    """Return which validation images the class texts get right, bool (V,)."""
    logits = zero_shot_logits(task.vectors[task.val], task.text_rows, task.logit_scale)
    hits: NDArray[np.bool_] = logits.argmax(axis=1) == task.labels[task.val]
    return hits
