"""From the trials of a sweep to a recommendation by rule, in plain sentences.

It knows nothing about training or files. Rules: of the rates that validation accuracy cannot
tell from the best, the one with the lowest validation loss, which still sees a difference where
accuracy ties; whether to train at all by the rule that ``fit`` uses (``selection.weighing``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.selection.weighing import Weighed, weigh
from cliptune.sweeps.ranking import PointScore, Ranking
from cliptune.sweeps.records import Trial
from cliptune.sweeps.scaling import Scaling, measure_scaling
from cliptune.system.formatting import change as write_change
from cliptune.system.formatting import change_interval, count, duration, percent, rate

__all__ = ["HeadAdvice", "advise_head", "images_for_a_point", "more_images", "within_margin"]


@dataclass(frozen=True)
class HeadAdvice:
    """What to do after a sweep over heads.

    Attributes:
        rates: The recommended point.
        val_accuracy: Its mean over seeds, on validation.
        against_start: From the model before training to it, on validation, first seed.
        train: Whether to train, shown or as the better guess; ``weighed`` says which.
        weighed: Training at that point against leaving the model as it is.
        text: All of it in sentences.
        edge: ``lowest`` or ``highest`` where the best lies at the end of the rates tried.
        scaling: How the best rate moves with batch and data.
        n_val_for_a_point: Validation images at which a difference of one point would show.
        seconds_a_trial: Mean over trials.
    """

    rates: dict[str, float]
    val_accuracy: float
    against_start: Comparison
    train: bool
    weighed: Weighed
    text: str
    edge: str | None
    scaling: tuple[Scaling, ...]
    n_val_for_a_point: int
    seconds_a_trial: float

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values; the image tower of a head is always frozen."""
        return {
            **self.rates,
            "text": self.text,
            "train": self.train,
            **self.weighed.to_dict(),
            "freeze": ["image", "text"],
            "val_accuracy": self.val_accuracy,
            "against_untrained": vars(self.against_start),
            "edge": self.edge,
            "rule_of_thumb": [rule.to_dict() for rule in self.scaling],
            "n_val_for_one_point": self.n_val_for_a_point,
            "seconds_a_trial": self.seconds_a_trial,
        }


def advise_head(
    trials: Sequence[Trial], verdict: Ranking, start_hits: Any, *, method: str, axis: str
) -> HeadAdvice:  # Any: a bool array
    """Recommend a point of a sweep over heads.

    Args:
        trials: All that are finished.
        verdict: Of those that compete.
        start_hits: bool (V,), which validation images the model gets right before training.
        method: The head.
        axis: The axis of rates (or penalties).
    """
    band = verdict.band(axis)
    chosen = min((_score_at(verdict, axis, value) for value in band), key=lambda s: s.loss)
    gain = compare_correct(np.asarray(start_hits), chosen.trials[0].hits)
    weighed = weigh(np.asarray(start_hits), chosen.trials[0].hits)
    advice = HeadAdvice(
        rates=chosen.rates,
        val_accuracy=chosen.accuracy,
        against_start=gain,
        train=weighed.costlier_is_guess,
        weighed=weighed,
        text="",
        edge=_edge(verdict, axis),
        scaling=tuple(measure_scaling(trials, axis=axis)),
        n_val_for_a_point=images_for_a_point(verdict),
        seconds_a_trial=float(np.mean([trial.seconds for trial in trials])),
    )
    return replace(advice, text=_say(advice, verdict, method, axis))


def _edge(verdict: Ranking, axis: str) -> str | None:
    tried = sorted({b.score.rates[axis] for b in verdict.behind})
    best = verdict.best.rates[axis]
    if len(tried) == 1 or best not in (tried[0], tried[-1]):
        return None
    return "lowest" if best == tried[0] else "highest"


def _say(advice: HeadAdvice, verdict: Ranking, method: str, axis: str) -> str:
    what = "penalty" if axis == "penalty" else "rate"
    best = verdict.best
    sentences = [
        _lead(method, advice),
        f"Within noise of the best ({rate(best.rates[axis])}, {percent(best.accuracy)}) "
        f"on {verdict.n_val} validation images: {_range(verdict.band(axis))}.",
    ]
    if advice.edge is not None:
        sentences.append(
            f"The best is the {advice.edge} {what} tried: a better one may lie beyond; give a "
            "wider grid."
        )
    sentences.append(
        f"To see a difference of one point takes about {count(advice.n_val_for_a_point)} "
        f"validation images; a trial took {duration(advice.seconds_a_trial)}. Whether moving the "
        "model itself does better: --method full."
    )
    if advice.scaling:
        rules = "; ".join(rule.sentence for rule in advice.scaling)
        sentences.append(f"Rule of thumb, by validation loss: {rules}.")
    return " ".join(sentences)


def images_for_a_point(verdict: Ranking) -> int:
    """Return about how many validation images make a difference of one point visible.

    The half-width of an interval falls with the square root of the images; the median half-width
    of the points that differ from the best at all is taken.
    """
    widths = [0.5 * (b.high - b.low) for b in verdict.behind if b.high > b.low]
    if not widths:
        return verdict.n_val
    return math.ceil(verdict.n_val * (float(np.median(widths)) / 0.01) ** 2)


def _score_at(verdict: Ranking, axis: str, value: float) -> PointScore:
    wanted = {**verdict.best.rates, axis: value}
    return next(b.score for b in verdict.behind if b.score.rates == wanted)


def _lead(method: str, advice: HeadAdvice) -> str:
    rates = ", ".join(f"{name} {rate(value)}" for name, value in advice.rates.items())
    gain = advice.against_start
    change = (
        f"{write_change(gain.difference)} points against the model as it is "
        f"(95 % interval {change_interval(gain.low, gain.high)}, n = {gain.n})"
    )
    chosen = f"with {rates}, the lowest validation loss of those as good"
    if advice.weighed.verdict == "train":
        return (
            f"Train {method} on the frozen model {chosen}: {percent(advice.val_accuracy)} on "
            f"validation, {change}."
        )
    if advice.weighed.verdict == "do-not-train":
        return (
            f"Do not train {method}: {chosen}, it is {change}; the model as it is is as good "
            f"{within_margin(advice.weighed)}."
        )
    guess = f"train {method}" if advice.train else "leave the model as it is"
    return (
        f"Too few validation images to say whether training {method} pays: {chosen}, it is "
        f"{change}. The best guess: {guess}.{more_images(advice.weighed)}"
    )


def within_margin(weighed: Weighed) -> str:
    """Say by how much, and how surely, the cheaper way is as good."""
    probability = percent(weighed.gain.below(weighed.margin))
    return f"within {100 * weighed.margin:g} point with a probability of {probability}"


def more_images(weighed: Weighed) -> str:
    """Say how many images would decide, with a blank before it; nothing where that is unknown."""
    needed = weighed.needed
    return "" if needed is None else f" About {count(needed)} validation images would decide."


def _range(band: Sequence[float]) -> str:
    return f"only {rate(band[0])}" if len(band) == 1 else f"{rate(band[0])} to {rate(band[-1])}"
