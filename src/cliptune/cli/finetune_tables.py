"""What ``cliptune fit`` shows of a training: the plan, epochs as they end, the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cliptune.cli.console import note, note_table, percent, print_table, print_text

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
                f"{group['parameters']:,}",
                f"{group['learning_rate']:.2g}",
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
        parts.append(f"loss {record.loss:.4f},")
    parts.append(f"train {percent(record.train.accuracy)}, val {_score(record.val)}")
    parts += [f", {name} {percent(s.accuracy)}" for name, s in record.watch.items()]
    parts.append(f"({record.seconds:.0f} s)" if record.epoch else "(zero-shot)")
    if seconds_left and record.epoch < n_epochs:
        parts.append(f"about {seconds_left:.0f} s left")
    note(" ".join(parts))


def _score(scores: Any) -> str:  # Any: Scores, without importing it for a hint
    return f"{percent(scores.accuracy)} (log-loss {scores.log_loss:.3f}, n = {scores.n})"


def show_finetune(result: Json) -> None:
    """Print a finished run: epochs, scores, what is kept on watched data."""
    print_table(
        f"{result['method']} on {result['data']}: epoch by epoch, epoch 0 is zero-shot",
        ("epoch", "loss", "train", "validation", "95 % interval", "log-loss", "seconds"),
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
    low, high = 100 * change["low"], 100 * change["high"]
    print_text(
        f"Against zero-shot on the same test: {100 * change['difference']:+.1f} points "
        f"({low:+.1f} to {high:+.1f}, p = {change['p_value']:.2g}). {_chosen(result)}"
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
        "" if record["loss"] is None else f"{record['loss']:.4f}",
        percent(record["train"]["accuracy"]),
        percent(record["val"]["accuracy"]),
        _interval(record["val"]),
        f"{record['val']['log_loss']:.4f}",
        f"{record['seconds']:.1f}",
    )


def _test_row(name: str, scores: Json) -> tuple[str, ...]:
    return (
        name,
        percent(scores["accuracy"]),
        _interval(scores),
        percent(scores["balanced_accuracy"]),
        f"{scores['log_loss']:.3f}",
        f"{scores['ece']:.3f}",
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
    low, high = scores["interval"]
    return f"{100 * low:.1f} to {100 * high:.1f}"
