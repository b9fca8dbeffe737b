"""The losses of fine-tuning: contrastive, class-aware, cross-entropy over prompts, sigmoid.

It knows no model, no optimiser and no process: every function maps unit rows, a scale and
labels to one scalar. Over several processes, gather the rows first (``gather.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

__all__ = [
    "LOSSES",
    "balanced_bias",
    "class_aware_loss",
    "clip_loss",
    "loss_floor",
    "prompt_cross_entropy",
    "sigmoid_loss",
]

LOSSES = ("class-aware", "clip", "cross-entropy", "sigmoid")


def clip_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric InfoNCE: image i belongs to text i, all other texts are negatives.

    Radford et al., arXiv:2103.00020, figure 3. Right for captions; where classes repeat in a
    batch it pushes an image away from texts that describe it.

    Args:
        images: (N, D), unit rows.
        texts: (N, D), unit rows, row i paired with image i.
        scale: Scalar, the factor on cosines (already exponentiated).

    Returns:
        Scalar, nats a row: ln N when all cosines are equal.
    """
    logits = scale * images @ texts.T
    targets = torch.arange(len(images), device=images.device)
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2


def class_aware_loss(images: Tensor, texts: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE in which all pairs of one class are positives.

    UniCL, Yang et al., arXiv:2204.03610, eq. 3 and 4; each row's positives are averaged outside
    the logarithm, L_out of Khosla et al., arXiv:2004.11362, eq. 2. With N different labels it
    is ``clip_loss``.

    Args:
        images: (N, D), unit rows.
        texts: (N, D), unit rows.
        labels: int64 (N,), the class of image i and of text i.
        scale: Scalar, the factor on cosines.

    Returns:
        Scalar, nats a row: ln N when all cosines are equal, ``loss_floor(labels)`` at best.
    """
    logits = scale * images @ texts.T
    positive = labels[:, None] == labels[None, :]
    targets = positive.to(logits.dtype) / positive.sum(dim=1, keepdim=True)
    # The relation "same class" is symmetric, so both directions share one target matrix.
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2


def prompt_cross_entropy(
    images: Tensor, class_texts: Tensor, labels: Tensor, scale: Tensor
) -> Tensor:
    """Cross-entropy of each image against the prompts of all classes.

    Args:
        images: (N, D), unit rows.
        class_texts: (C, D), unit rows, one a class.
        labels: int64 (N,), values 0..C-1.
        scale: Scalar, the factor on cosines.

    Returns:
        Scalar, nats an image: ln C when all cosines are equal.
    """
    return cross_entropy(scale * images @ class_texts.T, labels)


def sigmoid_loss(
    images: Tensor, texts: Tensor, labels: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """SigLIP's loss: every image-text pair is its own yes-or-no question.

    Zhai et al., arXiv:2303.15343, eq. 1. Departure: a pair is positive when the labels agree,
    which for N different labels is the paper's diagonal.

    Args:
        images: (N, D), unit rows.
        texts: (N, D), unit rows.
        labels: int64 (N,), the class (or the pair's number) of image i and of text i.
        scale: Scalar, the factor on cosines.
        bias: Scalar, added to every logit.

    Returns:
        Scalar, the sum over pairs divided by N, in nats.
    """
    sign = 2.0 * (labels[:, None] == labels[None, :]).to(images.dtype) - 1.0
    logits = scale * images @ texts.T + bias
    return -logsigmoid(sign * logits).sum() / len(images)


def loss_floor(labels: Tensor) -> float:
    """Return the least value that ``class_aware_loss`` can take on these labels.

    A row with P positives has a target of entropy ln P; cross-entropy cannot fall below it.
    """
    counts = (labels[:, None] == labels[None, :]).sum(dim=1)
    return float(counts.double().log().mean())


@torch.no_grad()
def balanced_bias(cosines: Tensor, positive: Tensor, scale: float) -> float:
    """Return the bias at which ``sigmoid_loss`` predicts as many positives as there are.

    A model trained with softmax has no bias of its own. The loss is convex in the bias and its
    derivative is the number of predicted positives less the number of true ones, so bisection
    finds the best bias of a batch; from another start the first steps would only repair it.

    Args:
        cosines: (N, N).
        positive: bool (N, N).
        scale: The factor on cosines.
    """
    logits, target = scale * cosines.double(), float(positive.sum())
    span = float(logits.abs().max()) + 50.0
    low, high = -span, span
    for _ in range(60):
        middle = (low + high) / 2
        if float(torch.sigmoid(logits + middle).sum()) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
