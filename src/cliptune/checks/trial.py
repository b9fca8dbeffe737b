"""Trying a session's training out: one batch, a few steps, and everything as it was before.

It knows nothing about what is concluded from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from cliptune.finetuning.activations import EnteredTower, enter_images
from cliptune.finetuning.batches import epoch_batches
from cliptune.finetuning.border import TowerCut, find_border, trains_ever
from cliptune.finetuning.gradcache import Side
from cliptune.finetuning.losses import loss_floor
from cliptune.finetuning.schedule import set_trainable
from cliptune.finetuning.session import Session
from cliptune.finetuning.step import StepInput, compute_gradients, loss_of_rows, update

__all__ = [
    "Batch",
    "behind_frozen",
    "blind_loss",
    "compute_batch_gradients",
    "floor_loss",
    "guessing_loss",
    "loss_now",
    "make_step",
    "take_batch",
    "train_step",
    "weights_kept",
]

_TRIAL_IMAGES = 2


@dataclass(frozen=True)
class Batch:
    """A few training images, the same at every use.

    Attributes:
        rows: int64 (n,), rows of the training images.
        pixels: uint8 (n, 3, H, W), not augmented.
    """

    rows: NDArray[np.int64]
    pixels: NDArray[np.uint8]


def take_batch(session: Session, size: int, *, number: int = 0) -> Batch:
    """Load a batch in which the classes come as evenly as they can."""
    batches = epoch_batches(
        session.data.train.labels, batch_size=size, balance=True, seed=0, epoch=number
    )
    rows = batches[number % len(batches)]
    load = session.data.train.load_image
    preprocess = session.encoder.preprocess
    return Batch(rows, np.stack([preprocess(load(int(row))) for row in rows]))


def make_step(session: Session, batch: Batch) -> StepInput:
    """Make a step of a batch, with gradients where they flow at present."""
    trains = (session.tower_trains("image"), session.tower_trains("text"))
    return session.source.make_step(
        batch.rows, torch.from_numpy(batch.pixels), epoch=0, step=0, trains=trains
    )


@torch.no_grad()
def behind_frozen(session: Session, steps: Sequence[StepInput]) -> list[StepInput]:
    """Run what never trains once, so that every repetition of a step begins behind it.

    Args:
        session: With the weights that steps are repeated from.
        steps: With pixels.

    Returns:
        The same steps: images enter their tower at the border, where they can, and texts are
        rows already where nothing of their tower ever trains.
    """
    tower = _enter(session, steps[0].sides[0].parts[0][:_TRIAL_IMAGES])
    rests = not trains_ever(session.plans, "text")
    shortened = []
    for step in steps:
        images, *texts = step.sides
        if tower is not None:
            hidden = [tower.leave(part) for part in images.parts]
            images = Side(hidden, tower.encode, images.trains)
        if rests:
            texts = [_as_rows(side) for side in texts]
        shortened.append(replace(step, sides=[images, *texts]))
    return shortened


def _enter(session: Session, pixels: Tensor) -> EnteredTower | None:
    border = find_border(session.plans, "image")
    if border is None or len(pixels) < _TRIAL_IMAGES:
        return None
    return enter_images(TowerCut(session.encoder.model, border), session.embedder, pixels)


def _as_rows(side: Side) -> Side:
    return Side([side.encode(part) for part in side.parts], lambda rows: rows, trains=False)


@torch.no_grad()
def _rows(step: StepInput) -> list[Tensor]:
    return [torch.cat([side.encode(part) for part in side.parts]) for side in step.sides]


@torch.no_grad()
def loss_now(session: Session, step: StepInput, *, silent: bool = False) -> float:
    """Return the loss without a gradient; ``silent`` shrinks all logits to nothing."""
    rows = _rows(step)
    factor = 0.0 if silent else 1.0
    if session.trainee.head is not None:
        return float(cross_entropy(factor * session.trainee.head(rows[0]), step.labels))
    bias = session.trainee.bias()
    return float(
        loss_of_rows(
            session.loss,
            images=rows[0],
            texts=rows[1],
            text_of_image=step.text_of_image,
            labels=step.labels,
            scale=factor * session.trainee.scale(),
            bias=None if bias is None else factor * bias,
        )
    )


def compute_batch_gradients(session: Session, step: StepInput) -> float:
    """Add the gradients of a step and return its loss."""
    return compute_gradients(
        step, session.trainee, session.loss, n_processes=session.processes.count
    )


def train_step(
    session: Session, step: StepInput, optimizer: torch.optim.Optimizer, rate: float
) -> float:
    """Take a step at which the group with the highest rate has ``rate``."""
    highest = max(plan.learning_rate for plan in session.plans)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["peak_rate"] / highest
    loss = compute_batch_gradients(session, step)
    update(session.trainee, optimizer, loss=loss, clip_norm=session.options.optimizer.clip_norm)
    return loss


@contextmanager
def weights_kept(session: Session) -> Iterator[None]:
    """Let a check move all that will ever train, and undo it."""
    set_trainable(session.plans, max(plan.start_epoch or 0 for plan in session.plans))
    before = {name: tensor.clone() for name, tensor in session.trained_weights().items()}
    try:
        yield
    finally:
        session.load_weights(before)
        session.trainee.zero_grad(set_to_none=True)


def guessing_loss(session: Session, step: StepInput) -> float:
    """Return the loss when all cosines are equal, in closed form."""
    n_rows = len(step.labels)
    if session.loss == "cross-entropy":
        return math.log(len(session.data.train.class_names))
    return n_rows * math.log(2.0) if session.loss == "sigmoid" else math.log(n_rows)


def blind_loss(session: Session, step: StepInput) -> float:
    """Return the least loss that is possible when all images look the same."""
    _, counts = torch.unique(step.labels, return_counts=True)
    n_rows = len(step.labels)
    if session.loss == "cross-entropy":
        shares = counts.double() / n_rows
        return float(-(shares * shares.log()).sum())
    if session.loss != "sigmoid":
        return math.log(n_rows)
    # One logit a text at best: each text's pairs are positive in the share of its class.
    shares = (counts.double() / n_rows).clamp(1e-9, 1 - 1e-9)
    entropy = -(shares * shares.log() + (1 - shares) * (1 - shares).log())
    return float((counts * entropy).sum())


def floor_loss(session: Session, step: StepInput) -> float:
    """Return the least loss that is possible at all on these labels."""
    return loss_floor(step.labels) if session.loss == "class-aware" else 0.0
