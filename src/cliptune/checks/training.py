"""Checks of the training set-up: a few steps on one batch, before thousands on all.

They know nothing about files. Every check leaves the weights as it found them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.checks.results import CheckResult
from cliptune.checks.trial import (
    Batch,
    behind_frozen,
    blind_loss,
    compute_batch_gradients,
    floor_loss,
    guessing_loss,
    loss_now,
    make_step,
    train_step,
    weights_kept,
)
from cliptune.finetuning.schedule import build_optimizer, set_trainable
from cliptune.finetuning.session import Session
from cliptune.finetuning.step import NonFiniteError, StepInput
from cliptune.system.formatting import decimal, rate

__all__ = ["check_gradient_flow", "check_initial_loss", "check_overfit", "check_rate_range"]

_TOLERANCE = 0.05
_OVERFIT_STEPS = 40
_OVERFIT_SHARE = 0.05  # of the loss above its floor that may be left
_RANGE_STEPS = 24
_RANGE = (1e-7, 1e-1)
_RISE = 0.02  # of the guessing loss: so far above the first loss a rate has broken it


def check_initial_loss(session: Session, batch: Batch) -> CheckResult:
    """Shrink all cosines to nothing: the loss must then be that of guessing.

    A loss that is summed instead of averaged, a scale applied twice or labels that point past
    the classes show here, whatever the model knows.
    """
    step = make_step(session, batch)
    expected = guessing_loss(session, step)
    value, own = loss_now(session, step, silent=True), loss_now(session, step)
    off = not abs(value - expected) <= _TOLERANCE * expected
    return CheckResult(
        name="initial_loss",
        status="failed" if off else "passed",
        value=round(value, 5),
        expected=round(expected, 5),
        meaning=(
            f"With all cosines equal the {session.loss} loss is {decimal(value)}, in closed form "
            f"{decimal(expected)}; with the model's own cosines it starts at {decimal(own)}."
        ),
        advice=(
            "Loss, labels and classes do not belong together: report this, with the command."
            if off
            else "Nothing to do."
        ),
    )


def check_gradient_flow(session: Session, batch: Batch) -> CheckResult:
    """Compare the groups that a backward pass reaches with those that shall train."""
    problems: dict[str, list[str]] = {"unreached": [], "reached_though_frozen": []}
    starts = sorted({plan.start_epoch for plan in session.plans if plan.start_epoch is not None})
    for epoch in starts:
        set_trainable(session.plans, epoch)
        compute_batch_gradients(session, make_step(session, batch))
        for plan in session.plans:
            wanted = plan.start_epoch is not None and plan.start_epoch <= epoch
            reached = any(_is_reached(parameter) for _, parameter in plan.group.parameters)
            if wanted != reached:
                kind = "unreached" if wanted else "reached_though_frozen"
                problems[kind].append(plan.group.name)
        session.trainee.zero_grad(set_to_none=True)
    names = [plan.group.name for plan in session.plans if plan.start_epoch is not None]
    bad = problems["reached_though_frozen"] + problems["unreached"]
    return CheckResult(
        name="gradient_flow",
        status="failed" if problems["reached_though_frozen"] else "warned" if bad else "passed",
        value={"trains": names, **{k: sorted(set(v)) for k, v in problems.items()}},
        expected={"unreached": [], "reached_though_frozen": []},
        meaning=(
            f"The gradient misses or wrongly reaches: {', '.join(sorted(set(bad)))}."
            if bad
            else f"The gradient reaches all {len(names)} groups that train, and no other."
        ),
        advice=(
            "Groups that no gradient reaches learn nothing with this loss: freeze them to save "
            "memory, or choose another loss."
            if bad
            else "Nothing to do."
        ),
    )


def check_rate_range(session: Session, batches: Sequence[Batch]) -> tuple[CheckResult, float]:
    """Raise the rate a little at every step and see where the loss falls and where it breaks.

    Smith, arXiv:1506.01186. The suggestion is the rate of the steepest fall of the smoothed
    loss, but no more than a tenth of the rate at which it breaks.

    Returns:
        The result and the suggested rate.
    """
    rates = np.geomspace(*_RANGE, _RANGE_STEPS)
    steps = behind_frozen(session, [make_step(session, batch) for batch in batches])
    losses = _losses_at(session, steps, rates)
    # Batches differ more than a step changes them: each mean holds every batch once.
    smooth = np.convolve(losses, np.full(len(steps), 1 / len(steps)), mode="valid")
    ceiling = smooth[0] + _RISE * guessing_loss(session, steps[0])
    broken = next((i for i, loss in enumerate(smooth) if loss > ceiling), len(smooth))
    last_rates = rates[len(steps) - 1 :]
    broken_rate = float(last_rates[min(broken, len(last_rates) - 1)])
    suggested = broken_rate / 10
    if broken >= 2:
        steepest = int(np.argmin(np.gradient(smooth[:broken])))
        suggested = min(suggested, float(last_rates[steepest]))
    asked = max(plan.learning_rate for plan in session.plans)
    far = asked > broken_rate / 2 or asked < suggested / 300
    return (
        CheckResult(
            name="rate_range",
            status="warned" if far else "passed",
            value={
                "suggested": float(f"{suggested:.2g}"),
                "breaks_at": float(f"{broken_rate:.2g}"),
                "asked": asked,
                "curve": [
                    [float(f"{rate:.3g}"), round(loss, 4)]
                    for rate, loss in zip(rates, losses, strict=True)
                    if math.isfinite(loss)
                ],
            },
            expected=f"a highest rate below {rate(broken_rate / 2)}",
            meaning=(
                f"The loss falls best near a rate of {rate(suggested)} and breaks at "
                f"{rate(broken_rate)}; the highest rate asked for is {rate(asked)}."
            ),
            advice=(
                f"Try --lr {rate(suggested)}."
                if far
                else "Nothing to do; a rate up to the suggested one is the next to try."
            ),
        ),
        suggested,
    )


def _losses_at(
    session: Session, steps: Sequence[StepInput], rates: NDArray[np.float64]
) -> list[float]:
    """Take a step at each rate, the batches in turn; from an overflow on the loss is infinite."""
    losses: list[float] = []
    with weights_kept(session):
        optimizer = build_optimizer(session.plans, session.options.optimizer)
        for number, rate in enumerate(rates):
            try:
                losses.append(
                    train_step(session, steps[number % len(steps)], optimizer, float(rate))
                )
            except NonFiniteError:
                break
    return losses + [math.inf] * (len(rates) - len(losses))


def check_overfit(session: Session, batch: Batch, rate: float) -> Iterator[CheckResult]:
    """Overfit one batch, and then the same labels with all images blank.

    The first must reach almost its floor, or something between input and loss is broken; the
    second must stay at what guessing gives, or the labels leak past the images.
    """
    blank = Batch(batch.rows, np.full_like(batch.pixels, 128))
    step, blind_step = behind_frozen(session, [make_step(session, b) for b in (batch, blank)])
    floor = floor_loss(session, step)
    first, last, n_steps = _overfit(session, step, rate, floor)
    left = (last - floor) / max(first - floor, 1e-6)
    good = left <= _OVERFIT_SHARE or last - floor <= _OVERFIT_SHARE
    yield CheckResult(
        name="overfit_one_batch",
        status="passed" if good else "warned",
        value={"first": round(first, 4), "last": round(last, 4), "steps": n_steps},
        expected={"floor": round(floor, 4), "last_below": round(_target(first, floor), 4)},
        meaning=(
            f"On {len(batch.rows)} images the loss went from {decimal(first)} to {decimal(last)} "
            f"in {n_steps} steps; it cannot go below {decimal(floor)}."
        ),
        advice=(
            "Nothing to do."
            if good
            else "What trains cannot fit even one batch: let more groups train, raise the rate, "
            "or look for contradicting labels."
        ),
    )
    _, blind, _ = _overfit(session, blind_step, rate, floor, n_steps=n_steps)
    bound = blind_loss(session, blind_step)
    leaks = blind < (1 - _TOLERANCE) * bound
    yield CheckResult(
        name="input_independent",
        status="failed" if leaks else "warned" if last > blind else "passed",
        value=round(blind, 4),
        expected=f"at least {decimal(bound)}, and above {decimal(last)}",
        meaning=(
            f"With blank images the loss ends at {decimal(blind)}, with the images at "
            f"{decimal(last)}; without looking nothing below {decimal(bound)} is possible."
        ),
        advice=(
            "The labels reach the loss past the images: report this, with the command."
            if leaks
            else "The images do not help yet: see overfit_one_batch."
            if last > blind
            else "Nothing to do."
        ),
    )


def _overfit(
    session: Session, step: StepInput, rate: float, floor: float, *, n_steps: int = _OVERFIT_STEPS
) -> tuple[float, float, int]:
    """Return first loss, last loss and steps; stop when the target is reached."""
    losses: list[float] = []
    with weights_kept(session):
        optimizer = build_optimizer(session.plans, session.options.optimizer)
        for _ in range(n_steps):
            try:
                losses.append(train_step(session, step, optimizer, rate))
            except NonFiniteError:
                losses.append(math.inf)
                break
            if losses[-1] <= _target(losses[0], floor):
                break
    return losses[0], losses[-1], len(losses)


def _target(first: float, floor: float) -> float:
    return floor + max(_OVERFIT_SHARE * (first - floor), _OVERFIT_SHARE / 2)


def _is_reached(parameter: torch.nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.ne(0).any())
