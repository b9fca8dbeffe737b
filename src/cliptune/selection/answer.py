"""From held-out answers to one recommendation, and to whether training pays at all.

It sees hits and losses of methods on the same images; the test changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cliptune.evaluation.distributions import binomial_at_least, wilson_bounds
from cliptune.selection.judging import Gain, Judged, compare
from cliptune.selection.methods import FAVOURITE, cost, in_order
from cliptune.selection.weighing import Verdict, images_needed, is_shown

__all__ = ["Answer", "answer", "best_of", "nothing_held_out"]

_LEVEL = 0.95
_NEAR = 0.5  # of the way from guessing to always right
_FEW = 30  # images, up to which nothing shows that labels do not follow from images
_DRAWS = 500


@dataclass(frozen=True)
class Answer:
    """Which method to ship, and whether labels were worth learning from.

    Attributes:
        method: The method to ship; None where none is better than guessing.
        best: The method that is expected to be right most often.
        score: What ``best`` is expected to reach, freed of the luck of having been chosen.
        select: What that is: accuracy, or another name in ``CRITERIA``.
        answer: ``train``: the gain over zero-shot is above 0. ``do-not-train``: the gain is below
            the margin. ``undecided``: there are too few labels to tell.
        gain: From zero-shot to ``best``, freed of the same luck.
        as_good: Other methods that are shown to be as good as ``best`` within the margin.
        margin: In accuracy.
        labels_needed: How many labels in all would decide, where it is undecided; None where that
            cannot be said.
    """

    method: str | None
    best: str
    score: float
    answer: Verdict
    gain: Gain
    as_good: tuple[str, ...]
    margin: float
    labels_needed: int | None
    select: str = "accuracy"

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is reported of it."""
        known = self.gain.n > 0
        return {
            "recommended": self.method,
            "answer": self.answer,
            "margin": self.margin,
            "labels_needed": self.labels_needed,
            "best": self.best,
            "select": self.select,
            "score": self.score if known else None,
            **({"accuracy": self.score if known else None} if self.select == "accuracy" else {}),
            "as_good": list(self.as_good),
            "gain": {
                "difference": self.gain.difference if known else None,
                "low": self.gain.low if known else None,
                "high": self.gain.high if known else None,
                "error": self.gain.error if known else None,
                "below_margin": self.gain.below(self.margin) if known else None,
                "n": self.gain.n,
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        gain = values["gain"]
        known = gain["n"] > 0
        return cls(
            method=values["recommended"],
            best=values["best"],
            score=values.get("score", values.get("accuracy")),
            answer=values["answer"],
            gain=Gain(gain["difference"], gain["error"], gain["n"])
            if known
            else Gain(0.0, math.inf, 0),
            as_good=tuple(values["as_good"]),
            margin=values["margin"],
            labels_needed=values["labels_needed"],
            select=values.get("select", "accuracy"),
        )


def answer(
    judged: Mapping[str, Judged],
    *,
    margin: float,
    chance: float,
    seed: int = 0,
    select: str = "accuracy",
) -> Answer:
    """Weigh methods against each other on the same held-out images.

    The best guess is the favourite where it is compared, the blend: few images would rather choose
    the luckiest than the best of many. The most accurate of those that are shown to be better takes
    its place. Without the favourite it is the one with the lowest log-loss among those whose
    accuracy is within one standard error of the highest. One that costs its users less is taken in
    its place where it is shown to be as good within ``margin``, and as a guess where it was right
    as often and surer. What the best gains is what it gained on images that did not choose it.

    Args:
        judged: Methods by name, zero-shot among them.
        margin: How much of the score a cheaper method may cost.
        chance: What guessing reaches: the accuracy of always naming the commonest class, or what
            that is in another score.
        seed: Of the bootstrap.
        select: By which score the methods were judged.
    """
    order = in_order(judged)
    best = best_of(judged, order)
    luck = _luck(judged, order, best, seed)
    score = judged[best].score - luck
    to_best = {
        name: _less(compare(judged[name], judged[best]), luck) for name in order if name != best
    }
    gain = to_best.get("zero-shot") or Gain(0.0, 0.0, len(judged[best].images))
    as_good = [name for name, lost in to_best.items() if is_shown(lost, margin)]
    enough = [name for name in order if name in as_good or _is_no_worse(judged[name], judged[best])]
    cheaper = [name for name in enough if cost(name) < cost(best)]
    method: str | None = min([*cheaper, best], key=lambda n: (cost(n), -judged[n].score))
    kind: Verdict = "train" if gain.low > 0 else "undecided"
    if best == "zero-shot" or "zero-shot" in as_good:
        kind, method = "do-not-train", "zero-shot"
    reached = judged[best].accuracy if select == "log-loss" else score
    if _is_guessing(reached, len(judged[best].images), chance):
        kind, method = "do-not-train", None
    return Answer(
        method=method,
        best=best,
        score=score,
        answer=kind,
        gain=gain,
        as_good=tuple(name for name in (*as_good, best) if name != method),
        margin=margin,
        labels_needed=images_needed(gain, margin) if kind == "undecided" else None,
        select=select,
    )


def nothing_held_out(guess: str, margin: float) -> Answer:
    """Return the answer where nothing could be compared: a guess."""
    unknown = Gain(0.0, math.inf, 0)
    return Answer(guess, guess, math.nan, "undecided", unknown, (), margin, None)


def best_of(judged: Mapping[str, Judged], order: Sequence[str]) -> str:
    """Return the method that is expected to be right most often; see ``answer``."""
    if FAVOURITE in order:
        gains = {n: compare(judged[FAVOURITE], judged[n]) for n in order if n != FAVOURITE}
        better = [name for name, gain in gains.items() if gain.low > 0]
        return max(better, key=lambda name: judged[name].score, default=FAVOURITE)
    highest = max(order, key=lambda name: (judged[name].score, -judged[name].log_loss))
    lost = {name: compare(judged[name], judged[highest]) for name in order if name != highest}
    near = [name for name, gain in lost.items() if gain.difference <= gain.error]
    return min([*near, highest], key=lambda name: judged[name].log_loss)


def _luck(judged: Mapping[str, Judged], order: Sequence[str], best: str, seed: int) -> float:
    """Return by how much the chosen method's accuracy flatters it, because it was chosen by it.

    The favourite was chosen by nothing.

    Bootstrap bias-corrected cross-validation (Tsamardinos et al., arXiv:1708.07180, section 3.2):
    methods are chosen on a draw of the images, and scored on those that the draw left out.
    """
    if best == FAVOURITE:
        return 0.0
    each = np.stack([judged[name].scores for name in order], axis=1)
    losses = np.stack([judged[name].losses for name in order], axis=1)
    highest = max(order, key=lambda name: judged[name].score)
    errors = np.array([compare(judged[name], judged[highest]).error for name in order])
    n = len(each)
    rng = np.random.default_rng([seed, 23])
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)
    score, loss = drawn @ each / n, drawn @ losses / n
    near = score >= score.max(axis=1, keepdims=True) - errors
    chosen = np.where(near, loss, np.inf).argmin(axis=1)
    left_out = drawn == 0
    scores = (left_out @ each) / np.maximum(left_out.sum(axis=1, keepdims=True), 1)
    fair = float(scores[np.arange(_DRAWS), chosen].mean())
    return max(judged[best].score - fair, 0.0)


def _is_no_worse(one: Judged, other: Judged) -> bool:
    """Say whether one was right at least as often, and surer of it."""
    return one.score >= other.score and one.log_loss <= other.log_loss


def _less(gain: Gain, luck: float) -> Gain:
    return Gain(gain.difference - luck, gain.error, gain.n)


def _is_guessing(accuracy: float, n: int, chance: float) -> bool:
    """Say whether answers are right no more often than by naming the commonest class.

    They are not shown to be above that, and shown to be near it: so few images that they could as
    well be far above say nothing.
    """
    right = round(accuracy * n)
    above = binomial_at_least(right, n, chance) < 1 - _LEVEL
    highest = wilson_bounds(right, n, _LEVEL)[1]
    return bool(n > _FEW and not above and highest < chance + _NEAR * (1 - chance))
