"""A sweep that moves the model's weights, from images to conclusion.

It knows nothing about files or how results are shown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cliptune.classifiers.head_data import HeadData
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import InputError
from cliptune.finetuning.entry import ActivationPlace
from cliptune.images import ImageTable
from cliptune.sweeps.grid import Grid
from cliptune.sweeps.halving import HalvingPlan, HalvingStrategy, plan_halving
from cliptune.sweeps.head_sweep import untrained_hits
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.ranking import judge
from cliptune.sweeps.records import Trial, TrialConfig
from cliptune.sweeps.report import Conclusion, grid_of_rates
from cliptune.sweeps.run import Worker
from cliptune.sweeps.store import StudyStore
from cliptune.sweeps.tower_advice import FrozenHead, advise_towers, comparable
from cliptune.sweeps.towers import TowerTrainer

__all__ = ["TowerSweep"]


class TowerSweep:
    """The parts of a sweep over moving weights.

    Args:
        encoder: In fp32; its weights are as before after every trial.
        table: The images of the task.
        task: Features, labels and who may see which row.
        grid: Rates of backbone and head.
        options: What all trials share.
        templates: Texts with one ``{}`` each.
        began: ``time.monotonic`` at which the budget began to run.
        budget_seconds: The budget.
        activations: Where the output of blocks that never move is kept.

    Raises:
        InputError: The encoder has no weights to move, or the budget is below one trial; the
            message says what one costs.
    """

    def __init__(
        self,
        encoder: object,
        table: ImageTable,
        task: HeadData,
        grid: Grid,
        options: SweepOptions,
        *,
        templates: tuple[str, ...],
        began: float,
        budget_seconds: float,
        activations: ActivationPlace | None = None,
    ) -> None:
        if not isinstance(encoder, TorchEncoder):
            raise InputError(
                f"the weights of {type(encoder).__name__} cannot be moved; name a model"
            )
        self._grid, self._options, self._task = grid, options, task
        self._deadline = began + budget_seconds
        self._trainer = TowerTrainer(encoder, table, task, templates, options, activations)
        n_train = self._trainer.n_train
        batch = min(options.batch_size, n_train)
        self._full_steps = options.epochs * -(-n_train // batch)
        rates = {axis.name: axis.values[-1] for axis in grid.axes}
        probe = TrialConfig(rates, options.seed, batch, n_train, self._full_steps)
        self._costs = self._trainer.measure(probe)
        self._free_frozen = options.method == "full"
        self._plan = plan_halving(
            grid,
            self._costs,
            seconds=self._deadline - time.monotonic(),
            most_steps=self._full_steps,
            seeds=options.seeds,
            free_frozen=self._free_frozen,
        )

    @property
    def identity(self) -> dict[str, Any]:  # Any: plain JSON values
        """All that trials of one study share, besides the data."""
        names = ("method", "epochs", "batch_size", "optimizer", "seed", "seeds")
        shared = asdict(self._options)
        few = {} if shared["blocks"] is None else {"blocks": shared["blocks"]}
        return {**{name: shared[name] for name in names}, **few, "grid": self._grid.describe()}

    @property
    def n_planned(self) -> int:
        """Trials that are certain, unless some diverge."""
        rungs = sum(n for n, _ in self._plan.rungs)
        return len(self._strategy().frozen_cells()) + rungs + self._plan.final_seeds - 1

    def worker(self, store: StudyStore) -> Worker:
        """Return this process's part in the study; its plan is the first worker's."""
        kept = store.recall("plan", self._plan.to_dict)
        self._plan = HalvingPlan.from_dict(kept)
        return Worker(store, self._strategy(), self._trainer, self._deadline)

    def conclude(self, trials: Sequence[Trial]) -> Conclusion:
        """Judge the trials and say what follows."""
        costs = self._trainer.costs or self._costs
        rivals = comparable(trials, frozen_row=self._free_frozen)
        verdict = judge(rivals, seed=self._options.seed)
        solved = self._solved_hits()
        if verdict is None:
            text = "No trial finished without diverging: no rate can be recommended."
            recommendation: dict[str, Any] = {"text": text, "freeze": ["image", "text"]}
        else:
            recommendation = advise_towers(
                trials,
                verdict,
                solved,
                plan=self._plan,
                costs=costs,
                full_steps=self._full_steps,
                method=self._options.method,
            )
        return Conclusion(
            trials=tuple(trials),
            verdict=verdict,
            recommendation=recommendation,
            rivals=tuple(rivals),
            curves=tuple(t for t in trials if not self._is_frozen_row(t)),
            axis="head",
            curve_axis="backbone",
            unit="step",
            start_accuracy=float(untrained_hits(self._task).mean()),
            frozen=("text",) if self._options.method == "full" else (),
            heatmap=grid_of_rates(trials, "backbone", "head") if trials else None,
        )

    def _is_frozen_row(self, trial: Trial) -> bool:
        """Say whether a trial's losses count epochs, and not steps."""
        return self._free_frozen and trial.cell.rates["backbone"] == 0

    def _strategy(self) -> HalvingStrategy:
        heads = self._grid.axis("head").values
        free = self._free_frozen and self._grid.axis("backbone").values[0] == 0
        return HalvingStrategy(
            self._plan, self._options, self._trainer.n_train, heads if free else ()
        )

    def _solved_hits(self) -> FrozenHead:
        task = self._task
        layer = self._trainer.solved.layer
        weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
        logits = task.vectors[task.val] @ weight.T + bias
        hits = logits.argmax(axis=1) == task.labels[task.val]
        return FrozenHead(float(np.mean(hits)), hits)
