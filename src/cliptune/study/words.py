"""Numbers as words, the same way in every section.

It knows nothing about what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from cliptune.metrics import Metrics, Score
from cliptune.paired import Comparison

__all__ = [
    "SIGNIFICANT",
    "comparison_cell",
    "duration",
    "is_better",
    "is_worse",
    "join_words",
    "percent",
    "points",
    "score_cell",
    "span",
]

SIGNIFICANT = 0.05


def percent(share: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * share:.1f} %"


def span(score: Score) -> str:
    """Write a share with its interval and what it rests on."""
    return (
        f"{percent(score.value)} (95 % interval {100 * score.low:.1f} to {100 * score.high:.1f}, "
        f"n = {score.n})"
    )


def points(comparison: Comparison) -> str:
    """Write a difference of accuracies with its interval and test."""
    p = "p < 0.0001" if comparison.p_value < 1e-4 else f"p = {comparison.p_value:.2g}"
    return (
        f"{100 * comparison.difference:+.1f} points (95 % interval {100 * comparison.low:+.1f} to "
        f"{100 * comparison.high:+.1f}, {p}, n = {comparison.n})"
    )


def duration(seconds: float) -> str:
    """Write a time, to two digits where it is below 10 seconds."""
    if seconds < 0.01:
        return "less than 0.01 s"
    return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"


def is_better(comparison: Comparison) -> bool:
    """Whether the second is better than the first by more than chance explains."""
    return comparison.difference > 0 and comparison.p_value < SIGNIFICANT


def is_worse(comparison: Comparison) -> bool:
    """Whether the second is worse than the first by more than chance explains."""
    return comparison.difference < 0 and comparison.p_value < SIGNIFICANT


def join_words(words: Sequence[str], *, most: int = 6) -> str:
    """Write a list as people do, the end of a long one counted."""
    shown = list(words[:most])
    if len(words) > most:
        shown.append(f"{len(words) - most} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}"


def score_cell(metrics: Metrics) -> dict[str, float]:
    """Return an accuracy as a table's cell."""
    score = metrics.accuracy
    return {"value": score.value, "low": score.low, "high": score.high}


def comparison_cell(comparison: Comparison) -> dict[str, float]:
    """Return a difference of accuracies as a table's cell."""
    return {"value": comparison.difference, "low": comparison.low, "high": comparison.high}
