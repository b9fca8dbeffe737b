"""Options of training the model itself, as the command line has them.

The library's own options say what is allowed and what the defaults are; here they only get
their names and explanations. It imports no torch, so that reading options stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cliptune.cli.numbers import number, size_in_bytes, whole
from cliptune.errors import InputError
from cliptune.finetuning.options import (
    MAX_RATE,
    METHODS,
    FinetuneOptions,
    LoraOptions,
    OptimizerOptions,
    TrainableOptions,
    parse_rates,
    parse_unfreeze,
)
from cliptune.system.bounds import require_number

__all__ = [
    "RunOptions",
    "TuningOptions",
    "make_finetune_options",
    "read_single_rate",
    "refuse_for_head",
    "refuse_for_model",
]

_DEFAULT = FinetuneOptions()
_LORA_ONLY = ("rank", "alpha", "towers")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """How full, lora and head-then-full train the model itself."""

    loss: Literal["class-aware", "clip", "cross-entropy", "sigmoid"] | None = None
    """class-aware for labels unless named; cross-entropy for head-then-full."""

    batch_size: str | None = None
    """Images a step, over all processes, or auto: as many as fit into memory."""

    micro_batch_size: str = "auto"
    """Images encoded at once; the negatives of the whole batch are kept."""

    train: str = ""
    """Only these groups train, e.g. image,text,head or image.last4,projection; else all."""

    freeze: str = ""
    """These groups do not train, e.g. text,logit_scale."""

    unfreeze: str = ""
    """When groups begin to train, e.g. "0:head 2:image.last4 4:all"."""

    layer_decay: Annotated[float, number()] = _DEFAULT.trainable.layer_decay
    """Factor on the rate for each block further from the output, e.g. 0.8."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with momentum."""

    momentum: Annotated[float, number()] = _DEFAULT.optimizer.momentum
    """Momentum of sgd."""

    nesterov: bool = False
    """The look-ahead form of sgd's momentum."""

    warmup: Annotated[float, number()] = _DEFAULT.optimizer.warmup
    """Share of all steps in which the rate rises; then it falls as a cosine."""

    clip_norm: Annotated[float, number()] = _DEFAULT.optimizer.clip_norm
    """Largest norm of the whole gradient."""

    augment: Literal["none", "light", "strong"] = "light"
    """Random views of the training images."""

    balanced_batches: bool = False
    """Draw every class equally often."""

    views: Annotated[int | None, whole()] = _DEFAULT.views
    """Views of each training image; a new one in every epoch, or 4 above frozen blocks."""

    patience: Annotated[int | None, whole()] = _DEFAULT.patience
    """Stop after so many epochs without a better validation."""

    interpolate: Annotated[bool, Parameter(negative="--no-interpolate")] = True
    """Mix the result with the starting weights, the share chosen on validation."""

    rank: Annotated[int, whole()] = _DEFAULT.lora.rank
    """Rank of the updates of lora."""

    alpha: Annotated[int, whole()] = _DEFAULT.lora.alpha
    """The updates of lora are multiplied by alpha / rank."""

    towers: str = ",".join(_DEFAULT.lora.towers)
    """Towers that get updates of lora: image, text or both."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What surrounds the training of full, lora and head-then-full."""

    watch: tuple[str, ...] = ()
    """Data that are only looked at: what does the model still know? Can be given several times."""

    track: tuple[str, ...] = ()
    """tensorboard, mlflow or wandb; can be given several times."""

    resume: Path | None = None
    """Take up the unfinished run in this folder; repeat its options."""

    check: Annotated[bool, Parameter(negative="--no-check")] = True
    """Look at data and training set-up before a new run, as 'cliptune check' does."""

    activations: Annotated[bool, Parameter(negative="--no-activations")] = True
    """Compute what frozen blocks give once and keep it on disk; else in every epoch."""

    max_disk: Annotated[int | None, size_in_bytes()] = None
    """Most that this may take, e.g. 20GB; else half of what is free."""

    checkpoint_seconds: Annotated[float, number()] = _DEFAULT.checkpoint_seconds
    """Least time between checkpoints within an epoch."""


def refuse_for_head(method: str, *options: TuningOptions | RunOptions) -> None:
    """Make sure that no option of training the model itself came with a head.

    Raises:
        InputError: Some did; the message names them.
    """
    if given := [name for group in options for name in _given(group)]:
        raise InputError(
            f"method {method} trains a head and takes no {', '.join(given)}; they belong to "
            f"{', '.join(METHODS)}"
        )


def refuse_for_model(method: str, **options: str | int | None) -> None:
    """Make sure that no option of heads came with a method that trains the model itself.

    Raises:
        InputError: Some did; the message names them.
    """
    given = ", ".join(f"--{name}" for name, value in options.items() if value is not None)
    if given:
        raise InputError(
            f"method {method} trains the model and takes no {given}; they are for heads"
        )


def _given(options: TuningOptions | RunOptions) -> list[str]:
    """Name the options that differ from their defaults, as the command line writes them."""
    return [
        "--" + field.name.replace("_", "-")
        for field in fields(options)
        if getattr(options, field.name) != field.default
    ]


def make_finetune_options(
    tuning: TuningOptions,
    *,
    method: str | None,
    lr: str | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    precision: str = "auto",
    seed: int = 0,
    checkpoint_seconds: float = _DEFAULT.checkpoint_seconds,
) -> FinetuneOptions:
    """Turn what the command line says into the library's options.

    Args:
        tuning: Options that only fine-tuning has.
        method: ``full``, ``lora`` or ``head-then-full``; nothing means the usual one.
        lr: A number, or GROUP=NUMBER[,GROUP=NUMBER...].
        weight_decay: Of the optimiser.
        epochs: Passes over the training images.
        precision: What the towers compute in.
        seed: Of everything random.
        checkpoint_seconds: Least time between checkpoints within an epoch.

    Raises:
        InputError: A value has another form or is out of range.
    """
    rate, rates = _read_rate(lr)
    trainable = _read_trainable(tuning, rates)
    method = method or trainable.usual_method
    wrong = [] if method == "lora" else [n for n in _given(tuning) if n[2:] in _LORA_ONLY]
    if wrong:
        raise InputError(
            f"method {method} takes no {', '.join(wrong)}; they belong to --method lora"
        )
    if tuning.optimizer != "sgd" and "--momentum" in _given(tuning):
        raise InputError("--momentum came with --optimizer adamw, which has none; use sgd")
    _require_some("--towers", tuning.towers)
    return FinetuneOptions(
        method=method,
        loss=tuning.loss,
        epochs=_DEFAULT.epochs if epochs is None else epochs,
        batch_size=_read_size("--batch-size", tuning.batch_size),
        micro_batch_size=_micro_batch_size(tuning.micro_batch_size),
        learning_rate=rate,
        augment=tuning.augment,
        balance=tuning.balanced_batches,
        views=tuning.views,
        patience=tuning.patience,
        precision=precision,
        interpolate=tuning.interpolate,
        seed=seed,
        checkpoint_seconds=checkpoint_seconds,
        trainable=trainable,
        optimizer=_read_optimizer(tuning, weight_decay),
        lora=LoraOptions(rank=tuning.rank, alpha=tuning.alpha, towers=_read_list(tuning.towers)),
    )


def _require_some(option: str, text: str) -> None:
    if text and not text.strip(" ,"):
        raise InputError(f"{option} {text!r} names nothing; name some groups, or leave it out")


def _read_trainable(
    tuning: TuningOptions, rates: tuple[tuple[str, float], ...]
) -> TrainableOptions:
    for name in ("train", "freeze", "unfreeze"):
        _require_some(f"--{name}", getattr(tuning, name))
    return TrainableOptions(
        train=_read_list(tuning.train),
        freeze=_read_list(tuning.freeze),
        rates=rates,
        unfreeze=parse_unfreeze(tuning.unfreeze),
        layer_decay=tuning.layer_decay,
    )


def _read_optimizer(tuning: TuningOptions, weight_decay: float | None) -> OptimizerOptions:
    return OptimizerOptions(
        name=tuning.optimizer,
        momentum=tuning.momentum,
        nesterov=tuning.nesterov,
        weight_decay=_DEFAULT.optimizer.weight_decay if weight_decay is None else weight_decay,
        warmup=tuning.warmup,
        clip_norm=tuning.clip_norm,
    )


def read_single_rate(text: str | None) -> float | None:
    """Read the rate of a head, which has no groups.

    Raises:
        InputError: It is no number, or out of range.
    """
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        raise InputError(
            f"--lr {text!r} came for a head; expected a number (rates by group are for "
            f"{', '.join(METHODS)})"
        ) from None
    require_number("--lr", rate, above=0, at_most=MAX_RATE)
    return rate


def _read_rate(text: str | None) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    if text is None:
        return None, ()
    try:
        return float(text), ()
    except ValueError:
        rates = parse_rates(text)
    if not rates:
        raise InputError(f"--lr {text!r} is no rate; write for example 1e-5 or head=1e-2,image=0")
    return None, rates


def _read_size(option: str, text: str | None) -> int | Literal["auto"] | None:
    if text is None or text == "auto":
        return "auto" if text else None
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise InputError(f"{option} {text[:40]!r} came; expected a whole number from 1, or auto")
    return int(text)


def _micro_batch_size(text: str) -> int | Literal["auto"]:
    size = _read_size("--micro-batch-size", text)
    assert size is not None, "only an option that did not come is nothing"
    return size


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(" ", ",").split(",") if part)
