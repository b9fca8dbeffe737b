"""From several fitted methods to one recommendation, chosen on validation alone.

It sees names and hits on validation images; the test scores are added for the reader and
change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.metrics import Score
from cliptune.paired import Comparison, compare_correct

__all__ = ["LADDER", "Recommendation", "recommend"]

# From the least to the most that has to be fitted, kept and explained: among methods that
# validation cannot tell apart, the earlier one is recommended.
LADDER = (
    "zero-shot",
    "prototype",
    "discriminant",
    "linear",
    "linear-sgd",
    "dual-linear",
    "knn",
    "cache",
    "attention",
)
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Recommendation:
    """Which method to ship.

    Attributes:
        method: Its name.
        best: The method with the highest validation accuracy.
        against_best: From the recommended to the best one, on validation.
        against_zero_shot: From zero-shot to the recommended one, on validation.
        as_good: Other methods that validation cannot tell from the best.
    """

    method: str
    best: str
    against_best: Comparison
    against_zero_shot: Comparison
    as_good: tuple[str, ...]

    def sentence(self, test: Score) -> str:
        """Say it in one plain sentence.

        Args:
            test: Accuracy of the recommended method on the locked test.
        """
        score = (
            f"{100 * test.value:.1f} % on the locked test "
            f"(95 % interval {100 * test.low:.1f} to {100 * test.high:.1f}, n = {test.n})"
        )
        n = self.against_best.n
        if self.method == "zero-shot":
            if self.best == "zero-shot":
                why = f"no method is better than zero-shot on the {n} validation images"
            else:
                why = (
                    f"zero-shot is as good: {self.best} is {_points(self.against_best)} on "
                    f"{n} validation images, which is within chance"
                )
            return f"Do not train: {why}; zero-shot reaches {score}."
        gain = f"{_points(self.against_zero_shot)} against zero-shot on {n} validation images"
        if self.method == self.best:
            rest = "no simpler method is as good"
        else:
            rest = f"no method is significantly better ({self.best}: {_points(self.against_best)})"
        return f"Use {self.method}: {gain}, and {rest}; it reaches {score}."


def _points(comparison: Comparison) -> str:
    return f"{100 * comparison.difference:+.1f} points (p = {comparison.p_value:.2g})"


def recommend(val_correct: Mapping[str, NDArray[np.bool_]], *, seed: int = 0) -> Recommendation:
    """Take the simplest method that validation cannot tell from the best.

    "Cannot tell" is an exact McNemar test at 5 %, not adjusted for the number of methods: the
    adjustment would only make simpler methods win more often.

    Args:
        val_correct: bool (V,) by method: which validation images it gets right; zero-shot
            among them.
        seed: Seed of the intervals.
    """
    order: Sequence[str] = sorted(val_correct, key=_rank)
    best = max(order, key=lambda name: (val_correct[name].mean(), -_rank(name)))
    to_best = {
        name: compare_correct(val_correct[name], val_correct[best], seed=seed) for name in order
    }
    as_good = tuple(name for name in order if to_best[name].p_value >= _SIGNIFICANT)
    method = as_good[0]
    return Recommendation(
        method=method,
        best=best,
        against_best=to_best[method],
        against_zero_shot=compare_correct(val_correct["zero-shot"], val_correct[method], seed=seed),
        as_good=tuple(name for name in as_good if name != method),
    )


def _rank(name: str) -> int:
    return LADDER.index(name) if name in LADDER else len(LADDER)
