"""How the best rate moves with batch and data: a rule of thumb, as far as trials support it.

It knows nothing about how trials were made. For SGD the rate is often held to grow in
proportion to the batch (arXiv:1706.02677); here the exponent is measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cliptune.sweeps.records import Purpose, Trial

__all__ = ["Scaling", "measure_scaling"]


@dataclass(frozen=True)
class Peak:
    """The rate with the lowest validation loss.

    Attributes:
        rate: Between grid values, by a parabola through the lowest and its neighbours.
        inside: The lowest value is not at the end of the rates tried; those that diverged
            bound it too.
    """

    rate: float
    inside: bool


@dataclass(frozen=True)
class Scaling:
    """What happens to the best rate when one quantity changes.

    Attributes:
        quantity: ``batch size`` or ``training images``.
        sizes: The two sizes, the sweep's own first.
        rates: The best rate at each.
        exponent: Of size in the best rate.
        resolution: Half a grid step, as an exponent: smaller ones mean nothing.
        inside: Both best rates lie inside the rates tried.
    """

    quantity: Literal["batch size", "training images"]
    sizes: tuple[int, int]
    rates: tuple[float, float]
    exponent: float
    resolution: float
    inside: bool

    @property
    def sentence(self) -> str:
        """Say it."""
        at = (
            f"{self.rates[0]:.2g} at {self.quantity} {self.sizes[0]}, "
            f"{self.rates[1]:.2g} at {self.sizes[1]}"
        )
        if not self.inside:
            return f"{self.quantity}: the best rate left the grid ({at}); no rule follows"
        if abs(self.exponent) <= self.resolution:
            return f"{self.quantity}: the best rate hardly moves ({at})"
        return (
            f"{self.quantity}: the best rate goes as its power {self.exponent:+.2f} "
            f"(to within {self.resolution:.2f}; {at})"
        )

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields and the sentence."""
        return {**vars(self), "sentence": self.sentence}


def measure_scaling(trials: Sequence[Trial], *, axis: str) -> list[Scaling]:
    """Compare the best rate of the sweep with that of its probes, by validation loss.

    Only trials that share the other axes with the probes are used, and only their first seed.
    """
    found: list[Scaling] = []
    kinds: tuple[tuple[Purpose, Literal["batch size", "training images"]], ...] = (
        ("batch-probe", "batch size"),
        ("size-probe", "training images"),
    )
    for purpose, quantity in kinds:
        probes = [trial for trial in trials if trial.cell.purpose == purpose]
        if not probes:
            continue
        points = {trial.cell.point for trial in probes}
        base = [
            trial
            for trial in trials
            if trial.cell.purpose in ("grid", "extension")
            and trial.cell.point in points
            and trial.cell.seed == probes[0].cell.seed
        ]
        peaks = _find_peak(base, axis), _find_peak(probes, axis)
        if peaks[0] is None or peaks[1] is None:
            continue
        cells = base[0].cell, probes[0].cell
        name = "batch_size" if quantity == "batch size" else "n_train"
        sizes = getattr(cells[0], name), getattr(cells[1], name)
        span = math.log(sizes[1] / sizes[0])
        rates = sorted({trial.cell.rates[axis] for trial in base})
        step = math.log(rates[-1] / rates[0]) / (len(rates) - 1)
        found.append(
            Scaling(
                quantity,
                sizes,
                (peaks[0].rate, peaks[1].rate),
                math.log(peaks[1].rate / peaks[0].rate) / span,
                abs(0.5 * step / span),
                peaks[0].inside and peaks[1].inside,
            )
        )
    return found


def _find_peak(trials: Sequence[Trial], axis: str) -> Peak | None:
    by_rate: dict[float, list[float]] = defaultdict(list)
    for trial in trials:
        usable = not trial.diverged and math.isfinite(trial.val_loss)
        by_rate[trial.cell.rates[axis]].append(trial.val_loss if usable else math.inf)
    rates = sorted(by_rate)
    losses = np.array([np.mean(by_rate[rate]) for rate in rates])
    if np.isfinite(losses).sum() < 3:
        return None
    lowest = int(losses.argmin())
    if lowest in (0, len(rates) - 1):
        return Peak(rates[lowest], inside=False)
    if not np.isfinite(losses[lowest - 1 : lowest + 2]).all():
        return Peak(rates[lowest], inside=True)
    x = np.log(rates[lowest - 1 : lowest + 2])
    a, b, _ = np.polyfit(x - x[1], losses[lowest - 1 : lowest + 2], 2)
    shift = float(np.clip(-b / (2 * a), x[0] - x[1], x[2] - x[1])) if a > 0 else 0.0
    return Peak(float(math.exp(x[1] + shift)), inside=True)
