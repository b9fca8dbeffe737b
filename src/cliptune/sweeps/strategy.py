"""Which cells a sweep over heads trains next, as a function of what is finished.

Every worker on a study asks the same function, so nobody has to keep a plan. It knows nothing
about training or storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from cliptune.sweeps.grid import Axis, Grid, coarse_first
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.ranking import competing, rank_points
from cliptune.sweeps.records import Purpose, Trial, TrialConfig
from cliptune.sweeps.store import Suggest

__all__ = ["HeadStrategy"]

_EXTENSIONS, _BEYOND = 3, 3  # at most three times, three values each
_PROBE_FACTOR = 4
_LEAST_PROBE = 64  # rows: on fewer the best rate says nothing


@dataclass(frozen=True)
class HeadStrategy:
    """A grid, coarse points first; then past its edge if the best lies there; then probes.

    The probes repeat the rates with a quarter of the batch and with a quarter of the images:
    how the best rate moves is what a rule of thumb rests on.

    Attributes:
        grid: All axes.
        options: Seeds, sizes, kind of search.
        n_train: Training images.
    """

    grid: Grid
    options: SweepOptions
    n_train: int

    def choose(
        self, finished: Sequence[Trial], running: Sequence[TrialConfig], suggest: Suggest
    ) -> list[TrialConfig]:
        """Return cells of one seed that nobody trains or has trained; none at the end."""
        done = {trial.cell.key for trial in finished}
        busy = {cell.key for cell in running}
        wanted = self._points(finished, running, suggest)
        for seed in self.options.all_seeds:
            cells = [self.cell(point, seed, purpose) for point, purpose in wanted]
            open_cells = [c for c in cells if c.key not in done and c.key not in busy]
            if open_cells:
                return open_cells
        if busy or self.options.search == "tpe":
            return []
        return [cell for cell in self._probes(finished) if cell.key not in done]

    def cell(
        self, rates: dict[str, float], seed: int, purpose: Purpose = "grid", *, shrink: int = 1
    ) -> TrialConfig:
        """Make the cell of a point; ``shrink`` divides what its purpose says."""
        n_train = self.n_train // (shrink if purpose == "size-probe" else 1)
        batch = min(n_train, self._batch // (shrink if purpose == "batch-probe" else 1))
        steps = self.options.epochs * -(-n_train // batch)
        return TrialConfig(rates, seed, batch, n_train, steps, purpose)

    @property
    def _batch(self) -> int:
        return min(self.options.batch_size, self.n_train)

    @property
    def _main(self) -> Axis:
        return self.grid.axes[0]

    def _points(
        self, finished: Sequence[Trial], running: Sequence[TrialConfig], suggest: Suggest
    ) -> list[tuple[dict[str, float], Purpose]]:
        if self.options.search == "tpe":
            return self._suggested(finished, running, suggest)
        order = coarse_first(len(self._main.values))
        others = [axis.values for axis in self.grid.axes[1:]]
        names = [axis.name for axis in self.grid.axes]
        base = [
            dict(zip(names, (self._main.values[i], *rest), strict=True))
            for rest in product(*others)
            for i in order
        ]
        points: list[tuple[dict[str, float], Purpose]] = [(point, "grid") for point in base]
        values = self._main.values
        for _ in range(_EXTENSIONS):
            beyond = self._beyond(points, values, finished)
            if not beyond:
                break
            values = tuple(sorted({*values, *beyond}))
            points += [
                (dict(zip(names, (value, *rest), strict=True)), "extension")
                for rest in product(*others)
                for value in beyond
            ]
        return points

    def _beyond(
        self,
        points: Sequence[tuple[dict[str, float], Purpose]],
        values: Sequence[float],
        finished: Sequence[Trial],
    ) -> tuple[float, ...]:
        """Return values past the edge that the best of these points lies on, once all are done."""
        keys = {
            self.cell(point, seed).key for point, _ in points for seed in self.options.all_seeds
        }
        known = [trial for trial in competing(finished) if trial.cell.key in keys]
        if len(known) < len(keys):
            return ()
        ranked = rank_points(known)
        if not ranked:
            return ()
        best = dict(ranked[0].point)[self._main.name]
        return Axis(self._main.name, tuple(values)).beyond(best, _BEYOND)

    def _suggested(
        self, finished: Sequence[Trial], running: Sequence[TrialConfig], suggest: Suggest
    ) -> list[tuple[dict[str, float], Purpose]]:
        cells = [*(trial.cell for trial in finished), *running]
        known = list(dict.fromkeys(cell.point for cell in cells))
        points: list[tuple[dict[str, float], Purpose]] = [(dict(p), "grid") for p in known]
        seeds = set(self.options.all_seeds)
        full = {p for p in known if {c.seed for c in cells if c.point == p} >= seeds}
        if len(full) == len(known) and len(known) < self.options.n_points:
            axes = {axis.name: (axis.values[0], axis.values[-1]) for axis in self.grid.axes}
            points.append((suggest(axes), "grid"))
        return points

    def _probes(self, finished: Sequence[Trial]) -> list[TrialConfig]:
        if self.options.method == "linear" or len(self._main.values) < 3:
            return []
        ranked = rank_points(competing(finished))
        if not ranked:
            return []
        best = dict(ranked[0].point)
        rates = sorted({t.cell.rates[self._main.name] for t in competing(finished)})
        kinds: list[Purpose] = []
        if self._batch >= 2 * _PROBE_FACTOR:
            kinds.append("batch-probe")
        if self.n_train // _PROBE_FACTOR >= _LEAST_PROBE:
            kinds.append("size-probe")
        done = {trial.cell.key for trial in finished}
        for kind in kinds:
            cells = [
                self.cell(
                    {**best, self._main.name: rate},
                    self.options.seed,
                    kind,
                    shrink=_PROBE_FACTOR,
                )
                for rate in rates
            ]
            if any(cell.key not in done for cell in cells):
                return cells
        return []
