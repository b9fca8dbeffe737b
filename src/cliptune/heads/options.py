"""The options and records of training a head, importable without torch.

It knows nothing about arrays: these are the numbers that shape a run and that a run leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cliptune.errors import InputError
from cliptune.system.bounds import MAX_SEED, require_count, require_number

__all__ = ["EpochRecord", "Member", "TrainingPlan"]


@dataclass(frozen=True)
class EpochRecord:
    """Scores after one epoch; epoch 0 is the model before training.

    Attributes:
        epoch: Passes over the training rows that are done.
        train_loss: Mean cross-entropy in nats. From epoch 1 on, of each batch before its step.
        train_accuracy: Share of rows that are right, measured at the same moments.
        val_loss: On the validation rows after the epoch, None without such rows.
        val_accuracy: Likewise.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True)
class Member:
    """What may differ between heads that train at once.

    Attributes:
        lr: Learning rate at the start of the schedule.
        weight_decay: Decoupled, towards the starting point: each step moves the parameters by
            ``lr * weight_decay`` of the way back.
        seed: Of the order of the rows, and of a random start where a head has one.
    """

    lr: float
    weight_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_number("learning rate", self.lr, above=0)
        require_number("weight decay", self.weight_decay, at_least=0)
        require_count("seed", self.seed, at_least=0, at_most=MAX_SEED)


@dataclass(frozen=True)
class TrainingPlan:
    """What heads that train at once have in common.

    Attributes:
        optimizer: ``sgd`` (with momentum) or ``adamw``.
        momentum: Of SGD; AdamW's beta 1.
        epochs: Passes over the training rows.
        batch_size: Rows a step.
        schedule: ``cosine`` falls from the rate to 0 over all steps; ``constant``.
        patience: Epochs without a lower validation loss before a head stops. With validation
            rows the parameters of the best epoch are kept, epoch 0 included; None keeps the
            last epoch's.
        products: ``bf16`` rounds the factors of matrix products to bfloat16 and keeps
            parameters and sums in fp32; a processor without such instructions stays with fp32.
        max_memory_bytes: Bound on what one stack of heads takes besides the features; more
            heads than fit train in several stacks.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    epochs: int = 20
    batch_size: int = 256
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: int | None = 5
    products: Literal["fp32", "bf16"] = "fp32"
    max_memory_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        _require(self.optimizer in ("sgd", "adamw"), f"optimizer {self.optimizer!r}", "sgd, adamw")
        require_number("momentum", self.momentum, at_least=0, below=1)
        require_count("epochs", self.epochs)
        require_count("batch size", self.batch_size)
        _require(
            self.schedule in ("cosine", "constant"),
            f"schedule {self.schedule!r}",
            "cosine, constant",
        )
        if self.patience is not None:
            require_count("patience", self.patience)
        _require(self.products in ("fp32", "bf16"), f"products {self.products!r}", "fp32, bf16")
        _require(self.max_memory_bytes > 0, f"max memory {self.max_memory_bytes}", "above 0")


def _require(holds: bool, came: str, expected: str) -> None:
    if not holds:
        raise InputError(f"{came} came; expected {expected}")
