"""The loop of one worker: claim cells, train them, keep what comes out, until nothing is left.

It knows nothing about what the cells are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cliptune.sweeps.records import Trial, TrialConfig
from cliptune.sweeps.store import Claim, StudyStore, Suggest

__all__ = ["Strategy", "Trainer", "Worker"]

_POLL_SECONDS = 0.3


class Strategy(Protocol):
    """What is trained next."""

    def choose(
        self, finished: Sequence[Trial], running: Sequence[TrialConfig], suggest: Suggest
    ) -> Sequence[TrialConfig]:
        """Return cells that are neither finished nor running; none at the end."""
        ...


class Trainer(Protocol):
    """What trains a cell."""

    def affordable(self, cells: Sequence[TrialConfig], seconds: float) -> Sequence[TrialConfig]:
        """Return the first cells that fit into a time."""
        ...

    def train(self, cells: Sequence[TrialConfig]) -> Iterator[tuple[TrialConfig, Trial]]:
        """Train cells and give each with its trial."""
        ...


@dataclass
class Worker:
    """One process's part in a sweep.

    Attributes:
        store: The study.
        strategy: What is trained next.
        trainer: What trains it.
        deadline: ``time.monotonic`` at which the budget ends, or infinity.
        n_trained: Trials of this worker so far.
        out_of_time: Cells were left because the budget was over.
    """

    store: StudyStore
    strategy: Strategy
    trainer: Trainer
    deadline: float = float("inf")
    n_trained: int = field(default=0, init=False)
    out_of_time: bool = field(default=False, init=False)

    def run(self) -> Iterator[Trial]:
        """Train until nothing is left, the others are done too, or the budget is over.

        Yields:
            Every trial of this worker, after the study has it.
        """
        while True:
            self.out_of_time = False
            claims, others_busy = self.store.claim(self._choose)
            if claims:
                yield from self._train(claims)
            elif others_busy and not self.out_of_time:
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _choose(
        self, finished: Sequence[Trial], running: Sequence[TrialConfig], suggest: Suggest
    ) -> Sequence[TrialConfig]:
        cells = self.strategy.choose(finished, running, suggest)
        chosen = self.trainer.affordable(cells, self.deadline - time.monotonic())
        self.out_of_time = len(chosen) < len(cells)
        return chosen

    def _train(self, claims: Sequence[Claim]) -> Iterator[Trial]:
        by_key = {claim.cell.key: claim for claim in claims}
        for cell, trial in self.trainer.train([claim.cell for claim in claims]):
            self.store.finish(by_key[cell.key], trial)
            self.n_trained += 1
            yield trial
