"""One step: rows of both towers, a loss over all processes' rows, gradients, an update.

It knows nothing about epochs, files or schedules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cliptune.errors import CliptuneError
from cliptune.finetuning.gather import average_gradients, gather_rows
from cliptune.finetuning.gradcache import Side, backward_in_parts
from cliptune.finetuning.losses import (
    class_aware_loss,
    clip_loss,
    prompt_cross_entropy,
    sigmoid_loss,
)
from cliptune.finetuning.trainee import Trainee

__all__ = ["NonFiniteError", "StepInput", "compute_gradients", "loss_of_rows", "update"]

_MAX_SKIPPED = 20


class NonFiniteError(CliptuneError, ArithmeticError):
    """A loss or a gradient is not a number; the weights are those before the step."""


@dataclass(frozen=True)
class StepInput:
    """What a process brings to a step, and what all know of the whole batch.

    Attributes:
        sides: Image tower first, then the text tower unless a linear head replaces it.
        sizes: Rows of each process, for each side.
        text_of_image: int64 (N,), which text row belongs to each image of the whole batch.
        labels: int64 (N,), its class.
    """

    sides: Sequence[Side]
    sizes: Sequence[Sequence[int]]
    text_of_image: Tensor
    labels: Tensor


def loss_of_rows(
    name: str,
    *,
    images: Tensor,
    texts: Tensor,
    text_of_image: Tensor,
    labels: Tensor,
    scale: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """Compute a loss by its name.

    Args:
        name: One of ``LOSSES``.
        images: (N, D), unit rows.
        texts: (U, D), unit rows of distinct texts; for cross-entropy one a class, in order.
        text_of_image: int64 (N,), row of ``texts``.
        labels: int64 (N,).
        scale: Factor on cosines.
        bias: Added to logits by the sigmoid loss.
    """
    if name == "cross-entropy":
        return prompt_cross_entropy(images, texts, labels, scale)
    paired = texts[text_of_image]
    if name == "clip":
        return clip_loss(images, paired, scale)
    if name == "class-aware":
        return class_aware_loss(images, paired, labels, scale)
    assert bias is not None, "the sigmoid loss has a bias"
    return sigmoid_loss(images, paired, labels, scale, bias)


def compute_gradients(
    step: StepInput,
    trainee: Trainee,
    loss_name: str,
    *,
    n_processes: int,
    scaler: torch.amp.GradScaler | None = None,
) -> float:
    """Add the gradients of the whole batch's loss, averaged to be exact on every process.

    Args:
        step: This process's inputs.
        trainee: What trains.
        loss_name: One of ``LOSSES``.
        n_processes: Processes.
        scaler: Scales the loss in fp16.

    Returns:
        The loss of the whole batch, in nats.
    """

    def loss_over_processes(*rows: Tensor) -> Tensor:
        gathered = [gather_rows(r, s) for r, s in zip(rows, step.sizes, strict=True)]
        if trainee.head is not None:
            return cross_entropy(trainee.head(gathered[0]), step.labels)
        return loss_of_rows(
            loss_name,
            images=gathered[0],
            texts=gathered[1],
            text_of_image=step.text_of_image,
            labels=step.labels,
            scale=trainee.scale(),
            bias=trainee.bias(),
        )

    def backward(loss: Tensor) -> None:
        scaled = scaler.scale(loss) if scaler is not None else loss
        scaled.backward()  # type: ignore[no-untyped-call]  # torch's own method

    loss = backward_in_parts(step.sides, loss_over_processes, backward)
    average_gradients(list(trainee.parameters()), n_processes)
    return float(loss)


def update(
    trainee: Trainee,
    optimizer: torch.optim.Optimizer,
    *,
    loss: float,
    clip_norm: float,
    scaler: torch.amp.GradScaler | None = None,
) -> float:
    """Clip the gradient and take the step, unless something is not finite.

    In fp16 a gradient that overflows is expected now and then: the scaler lowers its factor and
    the step is left out.

    Returns:
        Norm of the whole gradient before clipping.

    Raises:
        NonFiniteError: The loss or a gradient is not finite; no weight has changed.
    """
    if not math.isfinite(loss):
        raise NonFiniteError(f"the loss is {loss}{_blame(trainee)}")
    if scaler is not None:
        scaler.unscale_(optimizer)
    trained = [p for p in trainee.parameters() if p.grad is not None]
    norm = float(nn.utils.clip_grad_norm_(trained, clip_norm))
    if scaler is not None:
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() < 2.0**-_MAX_SKIPPED:
            raise NonFiniteError(f"fp16 overflows at every scale{_blame(trainee)}")
    else:
        if not math.isfinite(norm):
            raise NonFiniteError(f"the gradient is not finite{_blame(trainee)}")
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _blame(trainee: Trainee) -> str:
    """Name the first tensor that is not finite: a weight before a gradient."""
    for name, parameter in trainee.named_parameters():
        if not torch.isfinite(parameter).all():
            return f": the weight {name} is not finite"
    for name, parameter in trainee.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f": the gradient of {name} is not finite"
    return ": weights and gradients are finite, so the inputs or the scale are to blame"
