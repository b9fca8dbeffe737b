"""The study of a sweep: an Optuna study that any number of processes work on at once.

Every cell is claimed by one living worker at a time and finished once; what a dead worker had
claimed is free again. It knows nothing about how cells are chosen or trained.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from cliptune.features import DataIdentity
from cliptune.sweeps.connect import disconnect, open_study, reached
from cliptune.sweeps.locks import Locks
from cliptune.sweeps.records import Trial, TrialConfig

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["Claim", "StudyStore", "Suggest"]

# Wide enough for every rate; a study's own range is narrower and may grow.
_LARGEST = 1e9
Suggest = Callable[[Mapping[str, tuple[float, ...]]], dict[str, float]]


@dataclass(frozen=True)
class Claim:
    """A cell that this worker trains, and no other.

    Attributes:
        cell: What to train.
        number: The study's id of it.
    """

    cell: TrialConfig
    number: int


class StudyStore:
    """A study in a database.

    Args:
        study: The Optuna study.
        locks: Shared with all other workers on it.
    """

    def __init__(self, study: Study, locks: Locks) -> None:
        self._study, self._locks = study, locks
        self._worker = uuid.uuid4().hex
        self._open: set[int] = set()
        self._suggested: list[tuple[dict[str, float], int]] = []
        locks.hold(self._worker)

    @classmethod
    @contextmanager
    def open(
        cls, url: str, name: str, identity: Mapping[str, Any], *, images: DataIdentity
    ) -> Iterator[Self]:
        """Open a study, or begin it.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://...``.
            name: Name of the study in the database.
            identity: All else that makes trials comparable, as plain JSON values.
            images: What all trials learn from and are judged on.

        Raises:
            InputError: The address is of another kind.
            MissingExtraError: The driver or Optuna is not installed.
            RunError: The study belongs to other data or options.
            UnavailableError: The database cannot be reached.
        """
        with reached(url):
            study, locks = open_study(url, name, identity, images)
        store = cls(study, locks)
        try:
            yield store
        finally:
            store._close()

    def claim(
        self,
        choose: Callable[[Sequence[Trial], Sequence[TrialConfig], Suggest], Sequence[TrialConfig]],
    ) -> tuple[list[Claim], bool]:
        """Claim the cells that ``choose`` picks, and see whether other workers are busy.

        Args:
            choose: From finished trials, cells that are being trained and a way to ask the
                sampler, to cells that are neither; it must be quick, for all workers wait.

        Returns:
            The claims, and whether another living worker has cells in training.
        """
        with self._locks.exclusive():
            finished, running = self._read()
            cells = choose(finished, running, self._suggest)
            taken = {trial.cell.key for trial in finished} | {cell.key for cell in running}
            claims = [self._begin(cell) for cell in cells if cell.key not in taken]
        return claims, bool(running)

    def finish(self, claim: Claim, trial: Trial) -> None:
        """Keep what came out of a claim."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        storage = self._study._storage
        try:
            storage.set_trial_user_attr(claim.number, "trial", trial.to_dict())
            storage.set_trial_state_values(
                claim.number, TrialState.COMPLETE, [float(trial.val_accuracy)]
            )
        except UpdateFinishedTrialError:
            # Our lock was lost with the connection, and another worker has the cell now.
            logging.getLogger(__name__).warning("a trial was taken over by another worker")
        self._open.discard(claim.number)

    def trials(self) -> list[Trial]:
        """Return all finished trials, in the order in which they were begun."""
        with self._locks.exclusive():
            return self._read()[0]

    def recall(self, name: str, make: Callable[[], Any]) -> Any:  # Any: a plain JSON value
        """Return what the study keeps under a name; the first worker to ask makes it."""
        with self._locks.exclusive():
            kept = self._study.user_attrs
            if name not in kept:
                self._study.set_user_attr(name, make())
            return self._study.user_attrs[name]

    def _read(self) -> tuple[list[Trial], list[TrialConfig]]:
        from optuna.trial import TrialState

        finished, running = [], []
        alive: dict[str, bool] = {}
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.state == TrialState.COMPLETE:
                finished.append(Trial.from_dict(frozen.user_attrs["trial"]))
            elif frozen.state == TrialState.RUNNING:
                worker = frozen.user_attrs.get("worker", "")
                if worker not in alive:
                    alive[worker] = bool(worker) and self._locks.is_alive(worker)
                if alive[worker]:
                    running.append(TrialConfig(**frozen.user_attrs["cell"]))
                else:
                    self._fail(frozen._trial_id)
        return finished, running

    def _begin(self, cell: TrialConfig) -> Claim:
        from optuna.distributions import FloatDistribution
        from optuna.trial import TrialState, create_trial

        attributes = {"cell": asdict(cell), "worker": self._worker}
        for place, (rates, number) in enumerate(self._suggested):
            if rates == dict(cell.rates):
                del self._suggested[place]
                for name, value in attributes.items():
                    self._study._storage.set_trial_user_attr(number, name, value)
                break
        else:
            frozen = create_trial(
                state=TrialState.RUNNING,
                params=dict(cell.rates),
                distributions={name: FloatDistribution(0, _LARGEST) for name in cell.rates},
                user_attrs=attributes,
            )
            number = self._add(frozen)
        self._open.add(number)
        return Claim(cell, number)

    def _add(self, frozen: FrozenTrial) -> int:
        study = self._study
        return int(study._storage.create_new_trial(study._study_id, template_trial=frozen))

    def _suggest(self, axes: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
        """Ask the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) for rates.

        Args:
            axes: By name, (low, high) of a logarithmic range, or a single fixed value.
        """
        from optuna.distributions import FloatDistribution
        from optuna.samplers import TPESampler

        trials = self._study.get_trials(deepcopy=False)
        # A sampler of its own for every question: two workers never repeat each other's draws.
        self._study.sampler = TPESampler(
            seed=len(trials), multivariate=False, constant_liar=True, n_startup_trials=12
        )
        asked = self._study.ask(
            {
                name: FloatDistribution(ends[0], ends[-1], log=ends[0] > 0)
                for name, ends in axes.items()
            }
        )
        rates = {name: float(f"{value:.4g}") for name, value in asked.params.items()}
        self._suggested.append((rates, asked._trial_id))
        return rates

    def _close(self) -> None:
        """Give back what was claimed and not finished, and let go of the database."""
        for number in self._open:
            self._fail(number)
        self._locks.close()
        disconnect(self._study)

    def _fail(self, number: int) -> None:
        from optuna.trial import TrialState

        self._study._storage.set_trial_state_values(number, TrialState.FAIL)
