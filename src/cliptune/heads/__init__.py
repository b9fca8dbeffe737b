"""Heads: labelled unit vectors -> a classifier over such vectors, all under one protocol.

This package knows nothing about models, images or files. ``HEADS`` maps the name of a head to
its class, which loads on first use; ``heads.Linear`` and the like are the same classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from cliptune.heads.options import EpochRecord, Member, TrainingPlan
from cliptune.heads.registry import LazyHeads, Needs

if TYPE_CHECKING:  # names of heads and what these say of themselves are read without NumPy
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.heads.arrays import FloatArray, Labels
    from cliptune.heads.contract import Validation
    from cliptune.heads.expression import Operators

__all__ = ["HEADS", "EpochRecord", "Head", "Member", "Needs", "TrainingPlan"]

V = TypeVar("V")


class Head(Protocol):
    """The scikit-learn contract over arrays: arguments verbatim, learned state ends in ``_``.

    A head is a dataclass over its constructor's arguments, so that ``repr`` shows them.

    Attributes:
        name: The head's name in ``HEADS``.
        needs: ``pooled`` rows (N, D); or ``tokens`` (N, 1 + T, D): the pooled row first, then
            one row a patch; or ``trunk`` (N, D + E): the pooled row, then the image tower's
            features before the projection at norm 1. Any may be memory-mapped and of any float
            width. It may hang on an argument of the constructor: ask an instance.
        classes_: int64 (C,): 0..C-1.
        n_parameters_: Numbers that were fitted, by an optimiser or in closed form; stored rows
            do not count.
        history_: One record an epoch, epoch 0 (before training) first; empty where nothing is
            trained, or after ``from_state``.
    """

    name: ClassVar[str]
    takes_soft_labels: ClassVar[bool]

    @property
    def needs(self) -> Needs: ...  # noqa: D102  described above
    @property
    def classes_(self) -> NDArray[np.int64]: ...  # noqa: D102  described above
    @property
    def n_parameters_(self) -> int: ...  # noqa: D102
    @property
    def history_(self) -> tuple[EpochRecord, ...]: ...  # noqa: D102

    def fit(
        self,
        X: FloatArray,
        y: Labels,
        *,
        text_rows: FloatArray | None = None,
        logit_scale: float | None = None,
        n_classes: int | None = None,
        validation: Validation | None = None,
        soft_labels: FloatArray | None = None,
    ) -> Self:
        """Learn from labelled rows.

        Args:
            X: Unit rows, of the shape that ``needs`` says.
            y: Integers (N,), 0..C-1.
            text_rows: Unit rows (C, D) of the class texts; some heads start from them.
            logit_scale: The encoder's factor on cosines, already exponentiated; required with
                text rows.
            n_classes: C, where there are no text rows and the labels do not show it.
            validation: Rows and labels for what is chosen: penalties, mixing weights, the
                epoch. Without them a head takes its source's fixed choice.
            soft_labels: (N, C), what each row counts for each class, 1 in sum of a row: how sure
                a label is, or annotators' votes. Only for heads that ``takes_soft_labels``.

        Raises:
            InputError: Arguments that do not fit each other, or text rows that are missing.
            DataError: Values that are not finite, labels outside 0..C-1, a single class, or,
                where the head cannot do without, a class without rows.
        """
        ...

    def predict_logits(self, X: FloatArray) -> NDArray[np.float32]:
        """Return finite logits (N, C)."""
        ...

    def predict_proba(self, X: FloatArray) -> NDArray[np.float64]:
        """Return probabilities (N, C); rows sum to 1."""
        ...

    def predict(self, X: FloatArray) -> NDArray[Any]:  # Any: the labels' own kind
        """Return the most probable class of each row, (N,)."""
        ...

    def score(self, X: FloatArray, y: Labels) -> float:
        """Return the share of rows that are right."""
        ...

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits (N, C) of float32 rows, written in operators.

        Raises:
            InputError: The head cannot be written so.
        """
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # Any: any argument
        """Return the constructor's arguments; with ``deep``, as plain JSON values."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name that safetensors can hold."""
        ...

    @classmethod
    def from_state(
        cls, parameters: Mapping[str, Any], state: Mapping[str, NDArray[Any]]
    ) -> Self:  # Any: plain JSON values, one dtype an array
        """Rebuild a fitted head from ``get_params()`` and ``state()``.

        Raises:
            CheckpointError: A parameter or an array is missing, unknown or broken.
        """
        ...


HEADS = LazyHeads()
"""Classes of heads by name."""


def __getattr__(name: str) -> type[Head]:
    """Return a head by its short class name, such as ``heads.Linear``."""
    for head in HEADS:
        if HEADS.class_name(head) == f"{name}Head":
            return HEADS[head]
    raise AttributeError(f"module 'cliptune.heads' has no attribute {name!r}")
