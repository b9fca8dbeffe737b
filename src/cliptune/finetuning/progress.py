"""Where a run is, and the checkpoint that holds it.

It knows nothing about how steps are made or models scored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cliptune.features import load_identity
from cliptune.finetuning.checkpoints import (
    SavedState,
    load_best,
    save_best,
    save_state,
)
from cliptune.finetuning.records import EpochRecord, HeadRecord, Scores
from cliptune.finetuning.session import Session
from cliptune.runs import require_same_options

__all__ = ["Progress"]


class Progress:
    """A run's place in its epochs, kept on disk where there is a folder.

    Args:
        session: The run.
        folder: Where checkpoints go; nothing writes none.

    Attributes:
        epoch: Epochs done.
        batch: Steps done in the epoch under way.
        losses: Loss of each of them.
        seconds: Training and validation so far.
        epoch_seconds: Training in the epoch under way.
        records: The per-epoch table.
        best_epoch: The trained epoch with the best validation so far, or nothing.
        head: Record of the head's fit, if there was one.
    """

    def __init__(self, session: Session, folder: Path | None) -> None:
        self._session = session
        self._folder = folder
        self._saved_at = time.monotonic()
        self._is_recorded = False
        self._best: dict[str, Tensor] = {}
        self.epoch = 0
        self.batch = 0
        self.losses: list[float] = []
        self.seconds = 0.0
        self.epoch_seconds = 0.0
        self.records: list[EpochRecord] = []
        self.best_epoch: int | None = None
        self.head: HeadRecord | None = None

    @property
    def step(self) -> int:
        """Steps done, over all epochs."""
        return self.epoch * self._session.steps_an_epoch + self.batch

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or patience has run out."""
        patience = self._session.options.patience
        waited = self.epoch - (self.best_epoch or 0)
        return self.epoch >= self._session.options.epochs or (
            patience is not None and waited >= patience
        )

    def restore(self, saved: SavedState) -> None:
        """Take up a saved run.

        Raises:
            RunError: It was begun with other data or options.
        """
        session, facts = self._session, saved.facts
        assert self._folder is not None, "the state came from there"
        self._require_same_images(facts["identity"].get("images"))
        former = {"views": session.options.epochs, **facts["identity"]}  # once a new one each
        require_same_options(former, session.identity(), self._folder)
        session.load_weights(saved.weights)
        session.load_moments(saved.optimizer)
        torch.set_rng_state(saved.generator)
        if session.scaler is not None:
            session.scaler.load_state_dict(facts["scaler"])
        for name in ("epoch", "batch", "losses", "seconds", "epoch_seconds", "best_epoch"):
            setattr(self, name, facts[name])
        self.records = [EpochRecord.from_dict(record) for record in facts["records"]]
        self.head = _read_head(facts["head"])
        if self.best_epoch is not None:
            self._best = load_best(self._folder, self.best_epoch)

    def _require_same_images(self, digest: str | None) -> None:
        """Compare with the images that the checkpoint was made of, and name what differs."""
        images = self._session.data.identity
        assert self._folder is not None, "the state came from there"
        assert images is not None, "a run with a folder has one"
        if digest != images.digest:
            found = load_identity(self._folder)
            known = found if found is not None and found.digest == digest else None
            images.require_same(known, f"the unfinished run in {str(self._folder)!r}")

    def add_step(self, loss: float, seconds: float) -> None:
        """Count a step, and save if the last checkpoint is old."""
        self.batch += 1
        self.losses.append(loss)
        self.seconds += seconds
        self.epoch_seconds += seconds
        age = time.monotonic() - self._saved_at
        if self.batch < self._session.steps_an_epoch and (
            age >= self._session.options.checkpoint_seconds
        ):
            self.save()

    def add_epoch(self, record: EpochRecord) -> None:
        """Count an epoch, keep its weights if they are the best so far, and save."""
        self.seconds += record.seconds - self.epoch_seconds
        self.epoch, self.batch, self.losses, self.epoch_seconds = record.epoch, 0, [], 0.0
        self.records.append(record)
        if self.best_epoch is None or record.val.is_better_than(self.records[self.best_epoch].val):
            self.best_epoch = record.epoch
            weights = self._session.trained_weights()
            self._best = {name: tensor.clone() for name, tensor in weights.items()}
            if self._folder is not None and self._session.processes.is_main:
                save_best(self._folder, record.epoch, weights)
        self.save()

    def best_weights(self) -> Mapping[str, Tensor]:
        """Return the weights of the best epoch."""
        return self._best

    def save(self) -> None:
        """Write the checkpoint; the main process does, the others wait for it."""
        session = self._session
        if self._folder is not None and session.processes.is_main:
            self._record_images()
            save_state(self._folder, session.trained_weights(), session.optimizer, self._facts())
        session.processes.wait()
        self._saved_at = time.monotonic()

    def _record_images(self) -> None:
        """Write down, once and before the first state, which images the run rests on."""
        images = self._session.data.identity
        if not self._is_recorded and self._folder is not None and images is not None:
            images.save(self._folder)
            self._is_recorded = True

    def _facts(self) -> dict[str, Any]:  # Any: plain JSON values
        scaler = self._session.scaler
        return {
            "identity": self._session.identity(),
            "epoch": self.epoch,
            "batch": self.batch,
            "losses": self.losses,
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
            "best_epoch": self.best_epoch,
            "records": [record.to_dict() for record in self.records],
            "head": None if self.head is None else asdict(self.head),
            "scaler": None if scaler is None else scaler.state_dict(),
        }


def _read_head(values: Mapping[str, Any] | None) -> HeadRecord | None:  # Any: plain JSON values
    if values is None:
        return None
    train, val = Scores(**values["train"]), Scores(**values["val"])
    return HeadRecord(values["l2"], train, val, values["seconds"])
