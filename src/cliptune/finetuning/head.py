"""The linear head that ``head-then-full`` fits on frozen features before anything else moves.

It knows nothing about images or towers. Kumar et al., arXiv:2202.10054: a head that fits first
keeps fine-tuning from distorting the features for the sake of a random one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cliptune.finetuning.records import Scores
from cliptune.finetuning.scoring import score_logits
from cliptune.heads.logistic import make_problem, solve

__all__ = ["FittedHead", "fit_head", "zero_shot_head"]

_PENALTIES = tuple(10.0**power for power in range(0, -8, -1))


@dataclass(frozen=True)
class FittedHead:
    """A linear layer over unit rows.

    Attributes:
        layer: D to C.
        l2: Strength of the pull towards the zero-shot head; nothing where that head stays.
        train: Scores on the rows it was fitted to.
        val: Scores on validation.
    """

    layer: nn.Linear
    l2: float | None
    train: Scores
    val: Scores


def zero_shot_head(class_rows: Tensor, scale: float) -> nn.Linear:
    """Return the linear layer that classifies as the class texts do.

    Args:
        class_rows: (C, D), unit rows.
        scale: Factor on cosines.
    """
    return _layer(scale * class_rows, torch.zeros(len(class_rows)))


def fit_head(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], start: nn.Linear
) -> FittedHead:
    """Fit a logistic regression that is pulled towards the zero-shot head, not towards zero.

    Departure from the paper, whose head starts at random: with few images a class, the texts
    know more than the images do. The strength of the pull is chosen on validation, and where
    no fitted head does better there, the zero-shot head stays.

    Args:
        train: Unit rows (N, D) and labels (N,).
        val: The same of the validation images.
        start: The zero-shot head.
    """
    anchor = start.weight.detach().numpy()
    problem = make_problem(train[0].numpy(), train[1].numpy(), n_classes=len(anchor))
    best = _scored(start, None, train, val)
    solution = None
    for l2 in _PENALTIES:
        penalty = np.full(len(anchor), l2)
        solution = solve(problem, penalty, anchor=anchor, start=solution)
        layer = _layer(torch.from_numpy(solution.weight), torch.from_numpy(solution.bias))
        fitted = _scored(layer, l2, train, val)
        best = fitted if fitted.val.is_better_than(best.val) else best
    return best


@torch.no_grad()
def _scored(
    layer: nn.Linear, l2: float | None, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]
) -> FittedHead:
    scores = [score_logits(layer(rows), labels) for rows, labels in (train, val)]
    return FittedHead(layer, l2, *scores)


def _layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], len(weight))
    layer.weight = nn.Parameter(weight.clone())
    layer.bias = nn.Parameter(bias.clone())
    return layer
