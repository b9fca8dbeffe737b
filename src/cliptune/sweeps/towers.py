"""Training the cells of a sweep that moves the weights of the model.

It knows nothing about studies or plans; every trial begins at the same weights and leaves them
as they were.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from typing import cast

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from cliptune.classifiers.head_data import HeadData
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.entry import ActivationPlace
from cliptune.finetuning.head import FittedHead, fit_head, zero_shot_head
from cliptune.finetuning.options import FinetuneOptions, OptimizerOptions, TrainableOptions
from cliptune.finetuning.schedule import set_rates, set_trainable
from cliptune.finetuning.session import Session
from cliptune.finetuning.setup import open_session
from cliptune.finetuning.step import NonFiniteError, StepInput, compute_gradients, update
from cliptune.finetuning.validation import class_logits
from cliptune.images import ImageTable
from cliptune.sweeps.halving import Costs
from cliptune.sweeps.heads import HeadTrainer
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.records import Trial, TrialConfig

__all__ = ["TowerTrainer"]

_GROUPS = {"full": ("image", "head"), "lora": ("lora.image", "lora.text")}
_WORSE = 0.1  # of the guessing loss: so far above the first loss a training has diverged
_HOPELESS = 1.0  # likewise: it is stopped
_MEASURED_STEPS = 2


@dataclass(frozen=True)
class _Ending:
    losses: list[float]
    diverged: bool


class TowerTrainer:
    """Trains a model's weights by two rates.

    ``full`` moves the image tower at the backbone's rate and a linear head at its own; the head
    is fitted on frozen features first (arXiv:2202.10054). ``lora`` moves low-rank updates of the
    image tower and, in place of a head, of the text tower whose rows classify.

    Args:
        encoder: In fp32.
        table: All images of the task.
        task: Features, labels and who may see which row.
        templates: Texts with one ``{}`` each.
        options: What all cells have in common.
        activations: Where the output of blocks that never move is kept.
    """

    def __init__(
        self,
        encoder: TorchEncoder,
        table: ImageTable,
        task: HeadData,
        templates: tuple[str, ...],
        options: SweepOptions,
        activations: ActivationPlace | None = None,
    ) -> None:
        self._activations = activations
        self._encoder, self._task, self._options = encoder, task, options
        self._data = TrainingData(table.select(task.train), table.select(task.val), templates)
        self._frozen = HeadTrainer(
            _at_one_scale(task), replace(options, method="linear-sgd", blocks=None)
        )
        self._micro_batch: int | None = None
        self._step_seconds = 0.0
        self.costs: Costs | None = None
        self.solved = self._solve_head()

    @property
    def n_train(self) -> int:
        """Training images."""
        return len(self._data.train)

    def measure(self, cell: TrialConfig) -> Costs:
        """Measure what steps and validation cost, by a few steps that are then undone."""
        few = replace(cell, steps=_MEASURED_STEPS)
        self._train_one(few)  # the first steps allocate, and are slower
        trial = self._train_one(few)
        rest = trial.seconds - self._step_seconds * _MEASURED_STEPS
        self.costs = Costs(self._step_seconds, max(0.1, rest))
        return self.costs

    def affordable(self, cells: Sequence[TrialConfig], seconds: float) -> Sequence[TrialConfig]:
        """Return the cells if they fit into a time; the frozen row always does."""
        if not cells or self.costs is None or self._rests(cells[0]):
            return cells
        return cells if self.costs.of(cells[0].steps) <= seconds else []

    def train(self, cells: Sequence[TrialConfig]) -> Iterator[tuple[TrialConfig, Trial]]:
        """Train cells: those of the frozen row as stacks, the others one after another."""
        frozen = [c for c in cells if self._rests(c)]
        if frozen:
            asked = {_as_head_cell(cell).key: cell for cell in frozen}
            for found, trial in self._frozen.train([_as_head_cell(cell) for cell in frozen]):
                cell = asked[found.key]
                yield cell, replace(trial, cell=cell)
        for cell in cells:
            if not self._rests(cell):
                trial = self._train_one(cell)
                if self.costs is not None:
                    self.costs = replace(self.costs, step_seconds=self._step_seconds)
                yield cell, trial

    def _rests(self, cell: TrialConfig) -> bool:
        return self._options.method == "full" and cell.rates["backbone"] == 0

    def _solve_head(self) -> FittedHead:
        """Fit the linear head on frozen features, as ``head-then-full`` does."""
        task = self._task
        parts = [
            (torch.from_numpy(task.vectors[rows]), torch.from_numpy(task.labels[rows]))
            for rows in (task.train, task.val)
        ]
        start = zero_shot_head(torch.from_numpy(task.text_rows), task.logit_scale)
        return fit_head(parts[0], parts[1], start)

    def _train_one(self, cell: TrialConfig) -> Trial:
        began = time.perf_counter()
        options = self._finetune_options(cell)
        with open_session(
            self._encoder, self._data, options, watch={}, trackers=(), folder=None,
            activations=self._activations, head=self.solved.layer,
        ) as session:  # fmt: skip
            self._micro_batch = session.source.micro_batch_size
            try:
                ending = self._take_steps(session, cell)
                logits = self._validate(session)
            finally:
                if session.lora is None:  # low-rank updates go with the session
                    session.load_weights(session.start)
        labels = torch.from_numpy(self._data.val.labels)
        hits = (logits.argmax(dim=1) == labels).numpy()
        loss = float(cross_entropy(logits.double(), labels))
        return Trial(
            cell=cell,
            val_accuracy=float(hits.mean()),
            val_loss=loss,
            diverged=ending.diverged or not math.isfinite(loss),
            seconds=time.perf_counter() - began,
            losses=tuple(ending.losses),
            hits=hits,
        )

    def _finetune_options(self, cell: TrialConfig) -> FinetuneOptions:
        backbone, head = _GROUPS[self._options.method]
        if self._options.blocks is not None:
            backbone = f"image.last{self._options.blocks}"
        rates = ((backbone, cell.rates["backbone"]), (head, cell.rates["head"]))
        return FinetuneOptions(
            method="lora" if self._options.method == "lora" else "head-then-full",
            epochs=self._options.epochs,
            batch_size=cell.batch_size,
            micro_batch_size=self._micro_batch or "auto",
            seed=cell.seed,
            trainable=TrainableOptions(
                train=() if self._options.blocks is None else (backbone, head), rates=rates
            ),
            optimizer=OptimizerOptions(name=self._options.optimizer),
        )

    def _take_steps(self, session: Session, cell: TrialConfig) -> _Ending:
        """Take a cell's steps; stop where the loss is lost for good."""
        guessing = math.log(
            len(self._data.train.class_names) if session.trainee.head else cell.batch_size
        )
        set_trainable(session.plans, 0)
        losses: list[float] = []
        began = time.perf_counter()
        for loss in self._losses(session, cell.steps):
            losses.append(loss)
            recent = float(np.mean(losses[-3:]))
            if not recent <= losses[0] + _HOPELESS * guessing:
                break
        self._step_seconds = (time.perf_counter() - began) / len(losses)
        end = float(np.mean(losses[-max(1, len(losses) // 4) :]))
        return _Ending(losses, diverged=not end <= losses[0] + _WORSE * guessing)

    def _losses(self, session: Session, n_steps: int) -> Iterator[float]:
        """Take steps and give the loss before each; what is not finite ends them as nan."""
        taken = 0
        for epoch in count():
            steps = session.source.steps(
                epoch,
                skip=0,
                image_trains=session.tower_trains("image"),
                text_trains=session.tower_trains("text"),
            )
            with closing(cast(Generator[tuple[int, StepInput]], steps)):
                for _, step in steps:
                    set_rates(
                        session.optimizer,
                        taken,
                        n_steps=n_steps,
                        steps_a_epoch=session.steps_an_epoch,
                        warmup=session.options.optimizer.warmup,
                    )
                    loss = _take_step(session, step)
                    yield loss
                    taken += 1
                    if taken == n_steps or math.isnan(loss):
                        return

    def _validate(self, session: Session) -> torch.Tensor:
        images = self._data.val
        rows = session.embed_images(images, np.arange(len(images)))
        return class_logits(session, rows)


def _take_step(session: Session, step: StepInput) -> float:
    """Take a step and return the loss before it, nan where it could not be taken."""
    try:
        loss = compute_gradients(
            step,
            session.trainee,
            session.loss,
            n_processes=session.processes.count,
            scaler=session.scaler,
        )
        update(
            session.trainee,
            session.optimizer,
            loss=loss,
            clip_norm=session.options.optimizer.clip_norm,
            scaler=session.scaler,
        )
    except NonFiniteError:
        return math.nan
    session.trainee.limit_scale()
    return loss


def _at_one_scale(task: HeadData) -> HeadData:
    """Put the factor on cosines into the class rows: the head of ``finetune`` has it there too.

    Rates of the frozen row and of the others then mean the same.
    """
    rows = np.float32(task.logit_scale) * task.text_rows
    return replace(task, text_rows=rows, logit_scale=1.0)


def _as_head_cell(cell: TrialConfig) -> TrialConfig:
    return replace(cell, rates={"lr": cell.rates["head"]})
