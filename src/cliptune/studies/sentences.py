"""What comparisons mean, lists in words and cells of tables, the same way in every section.

It knows nothing about what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison

__all__ = [
    "SIGNIFICANT",
    "comparison_cell",
    "is_better",
    "is_worse",
    "join_words",
    "score_cell",
]

SIGNIFICANT = 0.05


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
