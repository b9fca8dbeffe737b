"""A grid of rates, weight decays and seeds of one head, trained at once.

It knows nothing about what a sweep makes of the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, Self

from cliptune.heads.arrays import FloatArray, Labels
from cliptune.heads.contract import FitData, Needs, Validation, check_fit
from cliptune.heads.options import Member, TrainingPlan
from cliptune.heads.stack_run import Stack, Trained
from cliptune.heads.training import train_stacked

__all__ = ["GradientHead", "fit_grid"]


class GradientHead(Protocol):
    """A head that the shared trainer trains.

    Attributes:
        needs: The shape of its rows.
        plan: What the heads of a grid have in common.
    """

    needs: Needs
    plan: TrainingPlan

    def make_stack(self, data: FitData) -> Stack:
        """Return what the trainer trains."""
        ...

    def adopt(self, trained: Trained, data: FitData) -> Self:
        """Take over one head of a stack, and be fitted."""
        ...


def fit_grid(
    head: GradientHead,
    X: FloatArray,
    y: Labels,
    *,
    members: Sequence[Member],
    text_rows: FloatArray | None = None,
    logit_scale: float | None = None,
    n_classes: int | None = None,
    validation: Validation | None = None,
) -> Iterator[Trained]:
    """Train a grid; the head's own rate, weight decay and seed are not used.

    Args:
        head: Unfitted; it stays so.
        X: Rows as in the head's ``fit``, like all other arguments.
        y: Labels.
        members: The grid.
        text_rows: Class texts.
        logit_scale: The encoder's factor.
        n_classes: C.
        validation: Rows and labels for early stopping and the choice of the epoch.

    Yields:
        Every member when its stack ends; ``index`` is its place in ``members``.
    """
    data = check_fit(
        X,
        y,
        text_rows=text_rows,
        logit_scale=logit_scale,
        n_classes=n_classes,
        validation=validation,
        needs=head.needs,
    )
    yield from train_stacked(head.make_stack(data), data, members, head.plan)
