"""What ``cliptune fit`` shows of a training while it goes on: the plan, epochs as they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cliptune.cli.console import note, note_table
from cliptune.system.formatting import count, decimal, duration, percent, rate, size

if TYPE_CHECKING:
    from cliptune.finetuning.records import EpochRecord, TrainingPlan

__all__ = ["TrainingNotes"]


@dataclass
class TrainingNotes:
    """Writes events of a training to standard error; steps are left to the bar.

    Attributes:
        n_epochs: Epochs of the whole run.
        seconds_left: Until the last epoch's end, once a step was taken.
    """

    n_epochs: int
    seconds_left: float | None = None

    def __call__(self, event: object) -> None:
        """Write what happened."""
        from cliptune.finetuning.records import (
            EpochRecord,
            HeadRecord,
            Interpolation,
            StepRecord,
            TrainingPlan,
        )

        match event:
            case StepRecord():
                self.seconds_left = event.seconds_left
            case TrainingPlan():
                _note_plan(event)
            case EpochRecord():
                _note_epoch(event, self.n_epochs, self.seconds_left)
            case HeadRecord():
                note(f"linear head: train {percent(event.train.accuracy)}, val {_score(event.val)}")
            case Interpolation():
                note(f"interpolation: {event.alpha:.1f} of the change kept, chosen on validation")
            case _:
                pass


def _note_plan(plan: TrainingPlan) -> None:
    note_table(
        f"{plan.method}, {plan.loss} loss in {plan.precision}: {plan.steps_an_epoch} steps an "
        f"epoch of {plan.batch_size} images ({plan.micro_batch_size} at once)",
        ("group", "tensors", "parameters", "rate", "from epoch"),
        [
            (
                str(group["group"]),
                str(group["tensors"]),
                count(float(group["parameters"] or 0)),
                rate(float(group["learning_rate"] or 0)),
                "frozen" if group["start_epoch"] is None else str(group["start_epoch"]),
            )
            for group in plan.groups
        ],
    )
    if plan.kept_bytes:
        note(
            f"what the frozen blocks give for {plan.views} views of each image is computed once "
            f"and kept: up to {size(plan.kept_bytes)}"
        )
    if plan.resumed_at_step:
        note(f"taken up after step {plan.resumed_at_step}")


def _note_epoch(record: EpochRecord, n_epochs: int, seconds_left: float | None) -> None:
    parts = [f"epoch {record.epoch}/{n_epochs}:"]
    if record.loss is not None:
        parts.append(f"loss {decimal(record.loss)},")
    parts.append(f"train {percent(record.train.accuracy)}, val {_score(record.val)}")
    parts += [f", {name} {percent(s.accuracy)}" for name, s in record.watch.items()]
    parts.append(f"({duration(record.seconds)})" if record.epoch else "(zero-shot)")
    if seconds_left and record.epoch < n_epochs:
        parts.append(f"about {duration(seconds_left)} left")
    note(" ".join(parts))


def _score(scores: Any) -> str:  # Any: Scores, without importing it for a hint
    return f"{percent(scores.accuracy)} (log-loss {decimal(scores.log_loss)}, n = {scores.n})"
