"""From a sweep over moving weights to a recommendation: freeze or not, at which rates.

It knows nothing about training or files. Rules: of the rates that validation accuracy cannot
tell from the best, those with the lowest validation loss; whether to move the model at them or to
keep it frozen by the rule that ``fit`` uses (``selection.weighing``). Where the time
was enough for a few short trainings only, they are counted and nothing is recommended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.selection.weighing import Weighed, weigh
from cliptune.sweeps.advice import more_images, within_margin
from cliptune.sweeps.halving import Costs, HalvingPlan
from cliptune.sweeps.ranking import Behind, PointScore, Ranking
from cliptune.sweeps.records import Trial
from cliptune.system.formatting import change as write_change
from cliptune.system.formatting import change_interval, duration, percent, with_p
from cliptune.system.formatting import rate as write_rate

__all__ = ["FrozenHead", "advise_towers", "comparable"]

_FEWEST_POINTS, _FEWEST_STEPS = 3, 10  # compared, and of each: below, nothing is concluded


@dataclass(frozen=True)
class FrozenHead:
    """The linear head on the frozen model, solved to its minimum: what moving must beat.

    Attributes:
        val_accuracy: On validation.
        hits: bool (V,), which validation images are right.
    """

    val_accuracy: float
    hits: NDArray[np.bool_]


def comparable(trials: Sequence[Trial], *, frozen_row: bool) -> list[Trial]:
    """Keep the trials that may compete: those of the longest schedule, and the frozen row."""
    moving = [t for t in trials if not (frozen_row and t.cell.rates["backbone"] == 0)]
    longest = max((t.cell.steps for t in moving), default=0)
    kept = {t.cell.key for t in moving if t.cell.steps == longest}
    return [
        t for t in trials if t.cell.key in kept or (frozen_row and t.cell.rates["backbone"] == 0)
    ]


def advise_towers(
    trials: Sequence[Trial],
    verdict: Ranking,
    frozen: FrozenHead,
    *,
    plan: HalvingPlan,
    costs: Costs,
    full_steps: int,
    method: str,
) -> dict[str, Any]:  # Any: plain JSON values
    """Recommend rates and what to freeze.

    Args:
        trials: All that are finished.
        verdict: Of the comparable ones.
        frozen: What moving must beat.
        plan: Who was trained for how long.
        costs: What training costs here.
        full_steps: Steps of all epochs that were asked for.
        method: ``full`` or ``lora``.
    """
    scores = [b.score for b in verdict.behind if not b.score.diverged]
    resting = [s for s in scores if s.rates["backbone"] == 0]
    moving = [s for s in scores if s.rates["backbone"] > 0]
    best = verdict.lowest_loss(moving)
    if best is None:
        text = "Freeze the model: no training that moved it ended without diverging."
        return {"text": text, "freeze": ["image", "text"], "train": True}
    row, reference, what = _best_frozen(frozen, resting)
    gain = compare_correct(reference, best.trials[0].hits)
    facts = {
        "against_frozen": vars(gain),
        "frozen": {"what": what, "val_accuracy": float(np.mean(reference))},
        "best_moving": {**best.rates, "val_accuracy": best.accuracy, "seeds": len(best.trials)},
        "cost": _cost(plan, costs, full_steps),
    }
    if _is_too_little(plan, full_steps):
        text = f"{_counted(plan, best)} {_cost_sentence(plan, costs, full_steps)}"
        nothing: dict[str, Any] = {
            "backbone": None,
            "head": None,
            "train": None,
            "freeze": None,
            "edge": {},
        }
        return {**nothing, "text": text, "concluded": False, **facts}
    weighed = weigh(reference, best.trials[0].hits)
    unfreeze = weighed.costlier_is_guess
    edges = _edges(best, plan, trials)
    sentences = [
        _lead(method, best, gain, weighed, what),
        *_most_accurate(verdict, best),
        *_bands(verdict),
        *_others_as_good(verdict),
        *(_edge_sentence(axis, side) for axis, side in edges.items()),
        *_broken(trials),
        _cost_sentence(plan, costs, full_steps),
    ]
    return {
        **_choose(best, row, unfreeze),
        "text": " ".join(sentences),
        "train": True,
        **weighed.to_dict(),
        "freeze": _frozen_parts(method, unfreeze),
        "concluded": True,
        "edge": edges,
        **facts,
    }


def _cost(plan: HalvingPlan, costs: Costs, full_steps: int) -> dict[str, float]:
    return {
        **vars(costs),
        "steps_compared": plan.final_steps,
        "steps_of_all_epochs": full_steps,
        "seconds_of_all_epochs": costs.of(full_steps),
    }


def _is_too_little(plan: HalvingPlan, full_steps: int) -> bool:
    """Say whether the time was enough for so few and short trainings that they tell nothing."""
    n_points = len(plan.backbones) * len(plan.heads)
    is_little = n_points < _FEWEST_POINTS or plan.final_steps < _FEWEST_STEPS
    return is_little and plan.final_steps < full_steps


def _counted(plan: HalvingPlan, best: PointScore) -> str:
    n_points = len(plan.backbones) * len(plan.heads)
    trainings = "one pair of rates" if n_points == 1 else f"{n_points} pairs of rates"
    return (
        f"The time was enough for {trainings}, trained for {plan.final_steps} steps at most: too "
        f"little to say what to freeze. The best has {percent(best.accuracy)} on validation."
    )


def _best_frozen(
    frozen: FrozenHead, resting: Sequence[PointScore]
) -> tuple[PointScore | None, NDArray[np.bool_], str]:
    """Return the best point of the frozen row if it beats the solved head, hits, and a name."""
    row = max(resting, key=lambda s: (s.accuracy, -s.loss), default=None)
    if row is None or row.accuracy <= frozen.val_accuracy:
        return None, frozen.hits, "a linear head, solved, on the frozen model (--method linear)"
    name = f"the frozen model with a head at rate {write_rate(row.rates['head'])}"
    return row, row.trials[0].hits, name


def _choose(best: PointScore, row: PointScore | None, unfreeze: bool) -> dict[str, float | None]:
    """Return the advised rates; no head rate where the solved head is the best frozen one."""
    if unfreeze:
        return {"backbone": best.rates["backbone"], "head": best.rates["head"]}
    return {"backbone": 0.0, "head": row.rates["head"] if row is not None else None}


def _frozen_parts(method: str, unfreeze: bool) -> list[str]:
    if not unfreeze:
        return ["image", "text"]
    return ["text"] if method == "full" else []


def _lead(method: str, best: PointScore, gain: Comparison, weighed: Weighed, what: str) -> str:
    rates = _name(best)
    change = (
        f"{write_change(gain.difference)} points against {what} "
        f"(95 % interval {change_interval(gain.low, gain.high)}, n = {gain.n}, "
        f"{with_p(gain.p_value)})"
    )
    if weighed.verdict == "train":
        return f"Unfreeze ({method}) at {rates}: {percent(best.accuracy)} on validation, {change}."
    if weighed.verdict == "do-not-train":
        return (
            f"Freeze the model and train a head: moving it at {rates} is {change}; frozen is as "
            f"good {within_margin(weighed)}."
        )
    guess = f"unfreeze ({method})" if weighed.costlier_is_guess else "freeze it and train a head"
    return (
        f"Too few validation images to say whether moving the model pays: at {rates} it is "
        f"{change}. The best guess: {guess}.{more_images(weighed)}"
    )


def _name(score: PointScore) -> str:
    backbone, head = score.rates["backbone"], score.rates["head"]
    moved = f"backbone rate {write_rate(backbone)}" if backbone else "a frozen backbone"
    return f"{moved} and head rate {write_rate(head)}"


def _most_accurate(verdict: Ranking, chosen: PointScore) -> list[str]:
    """Name the most accurate point where another, as good within noise, has a lower loss."""
    if verdict.best.point == chosen.point:
        return []
    return [f"The highest accuracy, {percent(verdict.best.accuracy)}, is at {_name(verdict.best)}."]


def _bands(verdict: Ranking) -> list[str]:
    sentences = []
    for axis in ("backbone", "head"):
        if len({b.score.rates[axis] for b in verdict.behind if _differs_in(axis, b, verdict)}) < 2:
            continue  # a lone value is no band
        band = verdict.band(axis)
        shown = (
            f"{write_rate(band[0])} to {write_rate(band[-1])}"
            if len(band) > 1
            else f"only {write_rate(band[0])}"
        )
        sentences.append(f"Within noise of the best along the {axis} rate: {shown}.")
    return sentences


def _others_as_good(verdict: Ranking) -> list[str]:
    """Name the moving points within noise of the best that differ from it in both rates."""
    best = verdict.best.rates
    heads: dict[float, list[str]] = {}
    for one in verdict.within:
        rates = one.score.rates
        if rates["backbone"] not in (0, best["backbone"]) and rates["head"] != best["head"]:
            heads.setdefault(rates["backbone"], []).append(write_rate(rates["head"]))
    if not heads:
        return []
    shown = "; ".join(f"{write_rate(rate)} with {' or '.join(own)}" for rate, own in heads.items())
    return [f"Within noise of the best with both rates changed (backbone with head): {shown}."]


def _differs_in(axis: str, one: Behind, verdict: Ranking) -> bool:
    """Say whether a point is the best one but for its value of one axis."""
    best = verdict.best.rates
    return {**one.score.rates, axis: best[axis]} == best


def _edges(best: PointScore, plan: HalvingPlan, trials: Sequence[Trial]) -> dict[str, str]:
    """Return the axes on whose end the best lies, past extensions that were trained."""
    found = {}
    planned = {"backbone": plan.backbones, "head": plan.heads}
    for axis, values in planned.items():
        extended = {t.cell.rates[axis] for t in trials if t.cell.purpose == "extension"}
        tried = sorted({v for v in {*values, *extended} if v > 0})
        value = best.rates[axis]
        if len(tried) > 1 and value in (tried[0], tried[-1]):
            found[axis] = "lowest" if value == tried[0] else "highest"
    return found


def _edge_sentence(axis: str, side: str) -> str:
    return (
        f"The best {axis} rate is the {side} one tried: a better one may lie beyond; "
        "give a wider grid or more --budget."
    )


def _broken(trials: Sequence[Trial]) -> list[str]:
    """Name the lowest backbone rate at which no training survived."""
    moved = sorted({t.cell.rates["backbone"] for t in trials if t.cell.rates["backbone"] > 0})
    for rate in moved:
        if all(t.diverged for t in trials if t.cell.rates["backbone"] >= rate):
            return [f"Every training diverged from a backbone rate of {write_rate(rate)} on."]
    return []


def _cost_sentence(plan: HalvingPlan, costs: Costs, full_steps: int) -> str:
    whole = costs.of(full_steps)
    time = duration(whole)
    if plan.final_steps >= full_steps:
        return f"One training of all epochs takes about {time}."
    return (
        f"Compared after {plan.final_steps} of {full_steps} steps: doing better may take all "
        f"epochs, about {time} a training ({duration(costs.step_seconds)} a step)."
    )
