"""The options of fine-tuning, each defined once, with the defaults that suit small data.

It imports no torch, so that a command line can read it; it knows nothing about models or images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cliptune.errors import InputError, UnknownNameError
from cliptune.system.bounds import MAX_SEED, require_count, require_number

__all__ = [
    "AUGMENTATIONS",
    "LOSS_NAMES",
    "MAX_RATE",
    "METHODS",
    "METHOD_RATES",
    "OPTIMIZERS",
    "TRACKERS",
    "FinetuneOptions",
    "LoraOptions",
    "OptimizerOptions",
    "TrainableOptions",
    "parse_rates",
    "parse_unfreeze",
]

# No rate above this ever trained anything; the next step would not be finite.
MAX_RATE = 1000.0
# The rate of each group where none is given.
METHOD_RATES: Mapping[str, Mapping[str, float]] = {
    "full": {"all": 1e-5},
    "lora": {"lora": 2e-4},
    "head-then-full": {"image": 1e-5, "head": 1e-3},
}
METHODS = ("full", "lora", "head-then-full")
LOSS_NAMES = ("class-aware", "clip", "cross-entropy", "sigmoid")
OPTIMIZERS = ("adamw", "sgd")
AUGMENTATIONS = ("none", "light", "strong")
TRACKERS = ("tensorboard", "mlflow", "wandb")
_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainableOptions:
    """Which groups train, and at which rate. Groups are named as in ``groups.py``.

    Attributes:
        train: Only these groups train; nothing means all.
        freeze: These groups do not.
        rates: (group, learning rate); the most specific name wins, 0 freezes.
        unfreeze: (epochs done, group): the group trains from then on, others not at all;
            nothing means that all that train do so from the start.
        layer_decay: Factor on the rate for each block further from the output.
    """

    train: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    unfreeze: tuple[tuple[int, str], ...] = ()
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        for group, rate in self.rates:
            require_number(f"rate {group}:", rate, at_least=0, at_most=MAX_RATE)
        for epoch, group in self.unfreeze:
            require_count(f"unfreezing of {group!r} at epoch", epoch, at_least=0)
        if self.unfreeze and min(epoch for epoch, _ in self.unfreeze) > 0:
            first = min(epoch for epoch, _ in self.unfreeze)
            raise InputError(
                f"nothing trains before epoch {first}; begin the unfreezing at 0, e.g. '0:head'"
            )
        require_number("layer decay", self.layer_decay, above=0, at_most=1)

    @property
    def usual_method(self) -> str:
        """The method where none is named: the one with a head where a head is to train."""
        to_train = (*self.train, *(g for g, _ in self.rates), *(g for _, g in self.unfreeze))
        return "head-then-full" if "head" in to_train else "full"


@dataclass(frozen=True)
class OptimizerOptions:
    """How a step is made of gradients.

    Attributes:
        name: ``adamw`` or ``sgd``.
        momentum: Of SGD.
        nesterov: Look-ahead form of SGD's momentum.
        weight_decay: Decoupled in AdamW, L2 in SGD; never on norms, biases or scalars.
        warmup: Share of all steps in which the rate rises; then it falls as a cosine to 0.
        clip_norm: Largest norm of the whole gradient.
    """

    name: str = "adamw"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        _require_name("optimizer", self.name, OPTIMIZERS)
        require_number("momentum", self.momentum, at_least=0, below=1)
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise InputError(
                f"nesterov came with {self.name} and momentum {self.momentum:g}; it is a form of "
                "sgd's momentum: use sgd with a momentum above 0, or drop it"
            )
        require_number("weight decay", self.weight_decay, at_least=0)
        require_number("warm-up", self.warmup, at_least=0, below=1)
        require_number("clip norm", self.clip_norm, above=0)


@dataclass(frozen=True)
class LoraOptions:
    """Size of the low-rank update, arXiv:2106.09685.

    Attributes:
        rank: Rank of each update.
        alpha: The update is multiplied by ``alpha / rank``.
        towers: Which towers get updates.
    """

    rank: int = 8
    alpha: int = 16
    towers: tuple[str, ...] = ("image", "text")

    def __post_init__(self) -> None:
        require_count("LoRA rank", self.rank)
        require_count("LoRA alpha", self.alpha)
        if not self.towers:
            raise InputError("no tower came for LoRA; expected image, text or both")
        for tower in self.towers:
            _require_name("tower", tower, ("image", "text"))


@dataclass(frozen=True)
class FinetuneOptions:
    """Everything that shapes a fine-tuning run, apart from model and data.

    Attributes:
        method: ``full``, ``lora`` or ``head-then-full`` (arXiv:2202.10054). An empty text means
            the last where ``trainable`` names a head to train, which only it has, else ``full``.
        loss: One of ``LOSS_NAMES``; nothing means class-aware for labels, clip for captions,
            cross-entropy for ``head-then-full``.
        epochs: Passes over the training images.
        batch_size: Images a step, over all processes; ``auto`` is the largest that fits, and
            nothing is 64, or all images where there are fewer.
        micro_batch_size: Images encoded at once within a process; a larger batch is done by
            gradient caching (arXiv:2101.06983), its negatives kept. ``auto``: what fits.
        learning_rate: For groups without a rate of their own; nothing means the method's.
        augment: ``none``, ``light`` or ``strong``.
        balance: Draw every class equally often.
        views: Views of each training image, drawn by ``augment``; after the last the first comes
            again. Nothing means a new one in every epoch, or four where lower blocks never train
            and what they give is kept.
        patience: Stop after this many epochs without a better validation; nothing: never.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``auto``: bf16 where the device computes
            in it natively and the towers gain by it, else fp32.
        interpolate: Mix the result with the starting weights, the share chosen on validation
            (WiSE-FT, arXiv:2109.01903).
        seed: Of order, augmentation, prompts and new weights.
        checkpoint_seconds: Least time between checkpoints within an epoch.
        trainable: Who trains.
        optimizer: How.
        lora: Size of the updates of ``lora``.
    """

    method: str = ""
    loss: str | None = None
    epochs: int = 10
    batch_size: int | Literal["auto"] | None = None
    micro_batch_size: int | Literal["auto"] = "auto"
    learning_rate: float | None = None
    augment: str = "light"
    balance: bool = False
    views: int | None = None
    patience: int | None = None
    precision: str = "auto"
    interpolate: bool = True
    seed: int = 0
    checkpoint_seconds: float = 300.0
    trainable: TrainableOptions = field(default_factory=TrainableOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    lora: LoraOptions = field(default_factory=LoraOptions)

    def __post_init__(self) -> None:
        if not self.method:
            object.__setattr__(self, "method", self.trainable.usual_method)
        _require_name("method", self.method, METHODS)
        if self.loss is not None:
            _require_name("loss", self.loss, LOSS_NAMES)
        _require_name("augmentation", self.augment, AUGMENTATIONS)
        _require_name("precision", self.precision, _PRECISIONS)
        require_count("epochs", self.epochs)
        _require_size("batch size", self.batch_size)
        _require_size("micro-batch size", self.micro_batch_size)
        if self.learning_rate is not None:
            require_number("learning rate", self.learning_rate, above=0, at_most=MAX_RATE)
        if self.patience is not None:
            require_count("patience", self.patience)
        if self.views is not None:
            require_count("views", self.views)
        require_count("seed", self.seed, at_least=0, at_most=MAX_SEED)
        require_number("checkpoint seconds", self.checkpoint_seconds, at_least=0)
        late = [f"{epoch}:{g}" for epoch, g in self.trainable.unfreeze if epoch >= self.epochs]
        if late:
            raise InputError(
                f"unfreezing {late[0]} comes after the last of {self.epochs} epochs; unfreeze "
                "earlier or train longer"
            )
        if self.method == "head-then-full" and self.loss not in (None, "cross-entropy"):
            raise InputError(
                f"method head-then-full trains its head by cross-entropy, but loss {self.loss!r} "
                "came; drop the loss or use method full"
            )


def parse_rates(text: str) -> tuple[tuple[str, float], ...]:
    """Read ``head=1e-2,image=1e-5,text=0``.

    Raises:
        InputError: An entry has another form.
    """
    rates = []
    for entry in _entries(text.replace(" ", ","), ","):
        group, _, value = entry.partition("=")
        try:
            rates.append((group, float(value)))
        except ValueError:
            raise InputError(
                f"rate {entry!r} is not of the form GROUP=NUMBER; write for example "
                "'head=1e-2,image=1e-5'"
            ) from None
    return tuple(rates)


def parse_unfreeze(text: str) -> tuple[tuple[int, str], ...]:
    """Read ``0:head 2:image.last4 4:all``.

    Raises:
        InputError: An entry has another form.
    """
    schedule = []
    for entry in _entries(text.replace(",", " "), " "):
        epoch, _, group = entry.partition(":")
        if not epoch.isdecimal() or not group:
            raise InputError(
                f"unfreezing {entry!r} is not of the form EPOCH:GROUP; write for example "
                "'0:head 2:image.last4 4:all'"
            )
        schedule.append((int(epoch), group))
    return tuple(schedule)


def _entries(text: str, separator: str) -> list[str]:
    return [entry.strip() for entry in text.split(separator) if entry.strip()]


def _require_name(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known)


def _require_size(kind: str, size: int | str | None) -> None:
    if isinstance(size, int):
        require_count(kind, size)
    elif size not in (None, "auto"):
        raise InputError(f"{kind} {size!r} came; expected a whole number from 1, or 'auto'")
