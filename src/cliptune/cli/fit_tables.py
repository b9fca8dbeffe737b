"""What ``cliptune fit`` shows of heads: their scores, what they took, the recommendation.

It knows nothing about how they were fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cliptune.cli.console import print_table, print_text
from cliptune.cli.few_shot import show_few_shot
from cliptune.formatting import change as write_change
from cliptune.formatting import (
    change_interval,
    count,
    decimal,
    duration,
    interval,
    percent,
    size,
    with_p,
)

__all__ = ["show_fit"]


def show_fit(result: Mapping[str, Any]) -> None:
    """Print scores and costs of every method, the recommendation, and where the run is."""
    methods = result.get("methods") or {result["method"]: result}
    print_table(
        f"{result['data']}: {count(result['n_train'])} images to learn from and to choose on, "
        f"{count(result['test']['n'])} locked test images; {result['model']} "
        f"({result['precision']})",
        ("method", "held out", "95 % interval", "test", "95 % interval", "against zero-shot"),
        [_accuracy_row(name, scores) for name, scores in methods.items()],
    )
    print_table(
        "On the locked test, and what it took",
        ("method", "balanced", "log-loss", "ECE", "parameters", "time", "memory"),
        [_cost_row(name, scores) for name, scores in methods.items()],
    )
    if "methods" in result:
        bases = {
            "against_zero_shot": "zero-shot",
            "against_linear": "linear",
            "against_recommended": result["recommended"] or "zero-shot",
        }
        print_table(
            "Differences on the locked test in points, with 95 % intervals",
            ("method", "from zero-shot", "from linear", f"from {bases['against_recommended']}"),
            [_difference_row(name, scores, bases) for name, scores in methods.items()],
        )
    for name, scores in methods.items():
        if scores.get("feature_losses"):
            print_text(_feature_choice(name, scores))
    if "few_shot" in result:
        show_few_shot(result["few_shot"])
    if "recommendation" in result:
        print_text(result["recommendation"])
    else:
        print_text(
            f"Zero-shot reaches {percent(result['zero_shot']['accuracy'])} on the same test."
        )
    print_text(f"Classifier, scores and errors: {result['run']}")


_FEATURES = {
    "embedding": "the embedding",
    "penultimate": "the features before the projection",
    "both": "the embedding and the features before the projection",
}


def _feature_choice(name: str, scores: Mapping[str, Any]) -> str:
    losses = scores["feature_losses"]
    compared = ", ".join(f"{features} {decimal(loss)}" for features, loss in losses.items())
    return (
        f"{name} learned from {_FEATURES[scores['features']]}: log-loss on held-out images "
        f"{compared}."
    )


def _accuracy_row(name: str, scores: Mapping[str, Any]) -> tuple[str, ...]:
    val, test, change = scores["val"], scores["test"], scores["against_zero_shot"]
    return (
        name,
        percent(val["accuracy"]) if val else "",
        _interval(val) if val else "",
        percent(test["accuracy"]),
        _interval(test),
        f"{write_change(change['difference'])}, {with_p(change['p_value'])}",
    )


def _difference_row(
    name: str, scores: Mapping[str, Any], bases: Mapping[str, str]
) -> tuple[str, ...]:
    return (
        name,
        *("" if name == base else _difference(scores[key]) for key, base in bases.items()),
    )


def _difference(change: Mapping[str, Any]) -> str:
    ends = change_interval(change["low"], change["high"])
    return f"{write_change(change['difference'])} ({ends})"


def _cost_row(name: str, scores: Mapping[str, Any]) -> tuple[str, ...]:
    test, memory = scores["test"], scores["peak_memory_bytes"]
    return (
        name,
        percent(test["balanced_accuracy"]),
        decimal(test["log_loss"]),
        decimal(test["ece"]),
        count(scores["trained_parameters"]),
        duration(scores["seconds"]),
        "" if memory is None else size(memory),
    )


def _interval(scores: Mapping[str, Any]) -> str:
    return interval(*scores["interval"])
