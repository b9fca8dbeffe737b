"""What ``cliptune fit`` shows of a training: the plan, epochs as they end, the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cliptune.cli.console import note, note_table, print_table, print_text
from cliptune.formatting import change as write_change
from cliptune.formatting import (
    change_interval,
    count,
    decimal,
    duration,
    interval,
    percent,
    rate,
    with_p,
)

if TYPE_CHECKING:
    from cliptune.finetune.records import EpochRecord, Event, TrainingPlan

__all__ = ["note_event", "show_finetune"]

Json = Mapping[str, Any]  # Any: plain JSON values


def note_event(event: Event, n_epochs: int, seconds_left: float | None) -> None:
    """Write an event of the training to standard error; steps are left to the bar.

    Args:
        event: What happened.
        n_epochs: Epochs of the whole run.
        seconds_left: Until the last epoch's end, once a step was taken.
    """
    from cliptune.finetune.records import EpochRecord, HeadRecord, Interpolation, TrainingPlan

    match event:
        case TrainingPlan():
            _note_plan(event)
        case EpochRecord():
            _note_epoch(event, n_epochs, seconds_left)
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


def show_finetune(result: Json) -> None:
    """Print a finished run: epochs, scores, what is kept on watched data."""
    print_table(
        f"{result['method']} on {result['data']}: epoch by epoch, epoch 0 is zero-shot",
        ("epoch", "loss", "train", "validation", "95 % interval", "log-loss", "time"),
        [_epoch_row(record) for record in result["epochs"]],
    )
    print_table(
        f"{result['n_train']} training, {result['val']['n']} validation, "
        f"{result['test']['n']} locked test images; {result['model']}",
        ("", "test", "95 % interval", "balanced", "log-loss", "ECE"),
        [
            _test_row("zero-shot", result["zero_shot"]),
            _test_row(result["method"], result["test"]),
        ],
    )
    if result["watched"]:
        print_table(
            "What is kept: zero-shot on data that were only watched",
            ("data", "n", "before", "95 % interval", "after", "95 % interval"),
            [_watched_row(name, entry) for name, entry in result["watched"].items()],
        )
    change = result["against_zero_shot"]
    ends = change_interval(change["low"], change["high"])
    print_text(
        f"Against zero-shot on the same test: {write_change(change['difference'])} "
        f"points ({ends}, {with_p(change['p_value'])}). {_chosen(result)}"
    )
    print_text(f"Classifier with its own weights, scores and errors: {result['run']}")


def _chosen(result: Json) -> str:
    mixed = result["interpolation"]
    if mixed is None:
        return f"Weights of epoch {result['best_epoch']}."
    return (
        f"Weights of epoch {result['best_epoch']}, {mixed['alpha']:.1f} of their change kept, "
        "both chosen on validation."
    )


def _epoch_row(record: Json) -> tuple[str, ...]:
    return (
        str(record["epoch"]),
        "" if record["loss"] is None else decimal(record["loss"]),
        percent(record["train"]["accuracy"]),
        percent(record["val"]["accuracy"]),
        _interval(record["val"]),
        decimal(record["val"]["log_loss"]),
        duration(record["seconds"]),
    )


def _test_row(name: str, scores: Json) -> tuple[str, ...]:
    return (
        name,
        percent(scores["accuracy"]),
        _interval(scores),
        percent(scores["balanced_accuracy"]),
        decimal(scores["log_loss"]),
        decimal(scores["ece"]),
    )


def _watched_row(name: str, entry: Json) -> tuple[str, ...]:
    before, after = entry["before"], entry["after"]
    return (
        name,
        str(before["n"]),
        percent(before["accuracy"]),
        _interval(before),
        percent(after["accuracy"]),
        _interval(after),
    )


def _interval(scores: Json) -> str:
    return interval(*scores["interval"])
