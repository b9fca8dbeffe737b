"""What ``cliptune sweep`` shows on a terminal: the table of rates, the best, the advice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cliptune.cli.console import note, print_json, print_table, print_text
from cliptune.formatting import duration, interval, percent, rate

if TYPE_CHECKING:
    from cliptune.sweep.report import Conclusion

__all__ = ["show_interrupted", "show_sweep"]


def show_interrupted(
    conclusion: Conclusion, asked: Mapping[str, Any], *, as_json: bool
) -> None:  # Any: plain JSON values
    """Show what is known of a sweep that someone ended."""
    from cliptune.sweep.report import summarise

    summary = summarise(conclusion)
    note(f"{len(summary['trials'])} finished trials are kept; the same command goes on")
    if as_json:
        print_json({"task": "sweep", **asked, **summary, "figures": {}})
    elif summary["best"] is not None:
        print_text(f"Best so far: {_describe_best(summary['best'])}")


def show_sweep(result: Mapping[str, Any]) -> None:  # Any: plain JSON values
    """Show a finished sweep: every rate, the best one, the advice."""
    rates = [name for name in result["grid"] if len(result["grid"][name]) > 1]
    print_table(
        f"{result['data']}: {result['n_train']} training, {result['n_val']} validation images; "
        f"{result['method']} on {result['model']}",
        (*rates, "seeds", "validation", "of them diverged", "time"),
        _rows(result["trials"], rates),
    )
    if result["best"] is not None:
        print_text(f"Best: {_describe_best(result['best'])}")
    print_text(result["recommendation"]["text"])
    print_text(f"Tables and figures: {result['run']}")


def _rows(trials: Iterable[Mapping[str, Any]], rates: list[str]) -> list[tuple[str, ...]]:
    by_point: dict[tuple[float, ...], list[Mapping[str, Any]]] = {}
    for trial in trials:
        if trial["purpose"] in ("grid", "extension"):
            by_point.setdefault(tuple(trial[name] for name in rates), []).append(trial)
    return [
        (
            *(rate(value) for value in point),
            str(len(own)),
            percent(sum(t["val_accuracy"] for t in own) / len(own)),
            str(sum(t["diverged"] for t in own)),
            duration(sum(t["seconds"] for t in own)),
        )
        for point, own in sorted(by_point.items())
    ]


def _describe_best(best: Mapping[str, Any]) -> str:  # Any: plain JSON values
    rates = ", ".join(
        f"{name} {rate(value)}"
        for name, value in best.items()
        if name in ("lr", "wd", "penalty", "backbone", "head")
    )
    return (
        f"{rates}: {percent(best['val_accuracy'])} on {best['n']} validation images "
        f"(95 % interval {interval(*best['interval'])}, {len(best['seeds'])} seeds)"
    )
