"""Which point of a sweep is best, and which cannot be told from it.

It sees trials on the same validation images and nothing else; no test image is involved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.evaluation.metrics import percentile_interval
from cliptune.sweeps.records import Trial

__all__ = [
    "Behind",
    "Point",
    "PointScore",
    "Ranking",
    "competing",
    "judge",
    "rank_points",
    "seeds_interval",
]

N_RESAMPLES = 1000
METHOD = (
    "difference to the best on the same validation images and seeds, 95 % interval of a bootstrap "
    "over images and seeds together, percentile; not adjusted for the number of points"
)
Point = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class PointScore:
    """The trials of one point, over its seeds.

    Attributes:
        point: Its rates.
        trials: One a seed.
        accuracy: Mean over seeds.
        loss: Mean over seeds.
    """

    point: Point
    trials: tuple[Trial, ...]
    accuracy: float
    loss: float

    @property
    def rates(self) -> dict[str, float]:
        """The rates by axis."""
        return dict(self.point)

    @property
    def diverged(self) -> bool:
        """Whether any seed diverged."""
        return any(trial.diverged for trial in self.trials)


@dataclass(frozen=True)
class Behind:
    """How far a point is behind the best.

    Attributes:
        score: The point.
        difference: Its accuracy minus that of the best.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    score: PointScore
    difference: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether validation cannot tell the point from the best."""
        return self.high >= 0


@dataclass(frozen=True)
class Ranking:
    """The best point, and how all compare with it.

    Attributes:
        best: The highest mean validation accuracy; between equals, the lower loss.
        behind: All points, the best among them, by rates.
        n_val: Validation images.
    """

    best: PointScore
    behind: tuple[Behind, ...]
    n_val: int

    @property
    def within(self) -> tuple[Behind, ...]:
        """Points that validation cannot tell from the best; those that diverged are left out."""
        return tuple(b for b in self.behind if b.is_noise and not b.score.diverged)

    def lowest_loss(self, points: Sequence[PointScore]) -> PointScore | None:
        """Return, of some points, the one to advise.

        Accuracy on few images ties, or rests on one of them, where the loss still sees a
        difference: of the points within noise of the best the lowest loss is taken, and where
        none is within noise the highest accuracy.

        Returns:
            None where all of them diverged.
        """
        sound = [score for score in points if not score.diverged]
        within = {one.score.point for one in self.within}
        near = [score for score in sound if score.point in within]
        if near:
            return min(near, key=lambda s: (s.loss, -s.accuracy, s.point))
        return max(sound, key=lambda s: (s.accuracy, -s.loss), default=None)

    def band(self, axis: str) -> tuple[float, ...]:
        """Return the values of an axis around the best, others as in the best, without a gap."""
        best = self.best.rates
        rest = {name: value for name, value in best.items() if name != axis}
        line = [
            b
            for b in sorted(self.behind, key=lambda b: b.score.rates[axis])
            if {n: v for n, v in b.score.rates.items() if n != axis} == rest
        ]
        values = [b.score.rates[axis] for b in line]
        good = [b.is_noise and not b.score.diverged for b in line]
        low = high = values.index(best[axis])
        while low > 0 and good[low - 1]:
            low -= 1
        while high + 1 < len(values) and good[high + 1]:
            high += 1
        return tuple(values[low : high + 1])

    def bands(self) -> dict[str, dict[str, Any]]:  # Any: plain JSON values
        """Return the band along every axis."""
        found = {}
        for axis in self.best.rates:
            values = self.band(axis)
            found[axis] = {"low": values[0], "high": values[-1], "values": list(values)}
        return found

    def to_dict(self, axis: str) -> dict[str, Any]:  # Any: plain JSON values
        """Return the noise band along an axis, and all points in it."""
        bands = self.bands()
        return {
            "rate": axis,
            **bands[axis],
            "bands": bands,
            "points": [
                {
                    **b.score.rates,
                    "val_accuracy": b.score.accuracy,
                    "difference": b.difference,
                    "interval": [b.low, b.high],
                }
                for b in self.within
            ],
            "n_val": self.n_val,
            "method": METHOD,
        }


def competing(trials: Sequence[Trial]) -> list[Trial]:
    """Leave out trials that were made to see how the best rate moves."""
    return [trial for trial in trials if trial.cell.purpose in ("grid", "extension")]


def rank_points(trials: Sequence[Trial]) -> list[PointScore]:
    """Sort points by mean accuracy, then loss; those that diverged are left out."""
    scores = [score for score in _gather(trials) if not score.diverged]
    return sorted(scores, key=lambda s: (-s.accuracy, s.loss, s.point))


def judge(trials: Sequence[Trial], *, seed: int = 0) -> Ranking | None:
    """Find the best point and compare all others with it.

    For a point r and the best b, every image i and seed s gives hits h_b - h_r; resampling
    images and seeds gives the interval of the mean. Points share the resampled images.

    Args:
        trials: On the same validation images.
        seed: Of the bootstrap.

    Returns:
        None where every point diverged, or there is none.
    """
    ranked = rank_points(trials)
    if not ranked:
        return None
    best = ranked[0]
    n_val = len(best.trials[0].hits)
    rng = np.random.default_rng(seed)
    images = _draw_images(n_val, rng)
    behind = [_compare(score, best, images, rng) for score in _gather(trials)]
    return Ranking(best, tuple(behind), n_val)


def seeds_interval(score: PointScore, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a point's accuracy, over images and seeds together."""
    hits = np.stack([trial.hits.astype(np.float64) for trial in score.trials])
    rng = np.random.default_rng(seed)
    return _resample(hits, _draw_images(hits.shape[1], rng), rng)


def _gather(trials: Sequence[Trial]) -> list[PointScore]:
    by_point: dict[Point, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_point[trial.cell.point].append(trial)
    return [
        PointScore(
            point,
            tuple(sorted(own, key=lambda t: t.cell.seed)),
            float(np.mean([t.val_accuracy for t in own])),
            float(np.mean([t.val_loss for t in own])),
        )
        for point, own in sorted(by_point.items())
    ]


def _compare(
    score: PointScore,
    best: PointScore,
    images: NDArray[np.float64],
    rng: np.random.Generator,
) -> Behind:
    own = {t.cell.seed: t.hits for t in score.trials}
    others = {t.cell.seed: t.hits for t in best.trials}
    shared = sorted(own.keys() & others.keys())
    if shared:
        pairs = [own[s].astype(np.float64) - others[s].astype(np.float64) for s in shared]
    else:  # a sweep cut short: no seed in common, so means over seeds are compared
        means = [np.mean(list(hits.values()), axis=0) for hits in (own, others)]
        pairs = [(means[0] - means[1]).astype(np.float64)]
    differences = np.stack(pairs)
    low, high = _resample(differences, images, rng)
    return Behind(score, float(differences.mean()), low, high)


def _draw_images(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the weight of each image in each resample, (N_RESAMPLES, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES) / n


def _resample(
    values: NDArray[np.float64], images: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the interval of the mean of (seeds, images) values."""
    n_seeds = len(values)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=len(images)) / n_seeds
    return percentile_interval((seeds * (images @ values.T)).sum(axis=1))
