"""BaseHead: what every head does alike: checking, predicting, scoring, saving.

A head is one file with one class on it; ``HEADS`` finds it there. It knows arrays, and no head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError, UnknownNameError
from cliptune.heads.arrays import FloatArray, Labels, softmax
from cliptune.heads.contract import (
    FitData,
    Needs,
    Validation,
    check_fit,
    check_rows,
    require_fitted,
)
from cliptune.heads.expression import Operators
from cliptune.heads.foreign import as_rows, encode_labels
from cliptune.heads.options import EpochRecord
from cliptune.heads.saved import check_state, construct, head_parameters

if TYPE_CHECKING:
    from sklearn.utils import Tags

__all__ = ["BaseHead"]

V = TypeVar("V")


@dataclass(eq=False)
class BaseHead:
    """A head under scikit-learn's contract; see ``Head`` for what it promises.

    A subclass is a dataclass over its arguments. It has a ``name``, says in ``saved_axes`` which
    arrays it keeps and in ``takes_soft_labels`` whether a row may count for several classes, and
    has these methods: ``_learn``, ``_logits``, ``_row_length``, ``_arrays`` and ``_restore``.
    Where what is said here of comparisons does not hold for it, it says so with a plain value,
    which is read in its file.

    Attributes:
        rank: Its place among heads, from the least to the most that has to be fitted, kept and
            explained.
        compared: ``fit`` compares it where no method is named.
        trained: By gradient, and anew for every fold: too long for somebody who waits.
        iterated: Solved in passes over all rows, which take long where rows and classes are many.
        keeps_images: It keeps a row of every image.
        learns_from: The most that it can learn from, as ``needs`` names it; a head that learns
            from ``trunk`` has an argument ``features``.
        classes_: (C,): 0..C-1, or the labels that came where these are no such numbers.
        n_features_in_: Length of a row.
        n_parameters_: Numbers that were fitted.
        history_: One record an epoch.
    """

    name: ClassVar[str]
    saved_axes: ClassVar[Mapping[str, int]]
    takes_soft_labels: ClassVar[bool] = False
    rank: ClassVar[int] = 100
    compared: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    iterated: ClassVar[bool] = False
    keeps_images: ClassVar[bool] = False
    learns_from: ClassVar[Needs] = "pooled"
    later_axes: ClassVar[Mapping[str, int]] = {}  # what heads of older releases did not save

    classes_: NDArray[Any] = field(init=False, repr=False)  # Any: numbers, or a caller's labels
    n_parameters_: int = field(init=False, repr=False)
    history_: tuple[EpochRecord, ...] = field(init=False, repr=False)

    @property
    def needs(self) -> Needs:
        """The rows that it takes; see ``Head``."""
        return "pooled"

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
        """Learn from labelled rows; the arguments are those of every head, see ``Head.fit``."""
        if soft_labels is not None and not self.takes_soft_labels:
            raise InputError(f"head {self.name!r} takes one class a row; leave soft_labels out")
        known = text_rows is not None or n_classes is not None
        numbers, labels = encode_labels(y, are_numbers=known)
        data = check_fit(
            as_rows(X),
            numbers,
            text_rows=text_rows,
            logit_scale=logit_scale,
            n_classes=n_classes,
            validation=validation,
            soft_labels=soft_labels,
            needs=self.needs,
        )
        self._learn(data)
        if labels is not None:
            self.classes_ = labels
        return self

    def _learn(self, data: FitData) -> object:
        """Learn from checked arguments, and set everything that ends in ``_``."""
        raise NotImplementedError

    def predict_logits(self, X: FloatArray) -> NDArray[np.float32]:
        """Return logits (N, C) for rows as ``needs`` says."""
        require_fitted(self)
        return self._logits(check_rows(as_rows(X), dim=self._row_length(), needs=self.needs))

    def _logits(self, rows: FloatArray) -> NDArray[np.float32]:
        """Return logits (N, C) for checked rows."""
        raise NotImplementedError

    def express(self, ops: Operators[V], rows: V) -> V:
        """Return the logits (N, C) of checked rows, written in operators.

        Args:
            ops: What to write with; see ``Operators``.
            rows: float32, as ``needs`` says.

        Raises:
            InputError: Nobody wrote this head so, or it holds too many rows to leave with them.
        """
        raise InputError(
            f"head {self.name!r} is no function that can be written down in operators; fit "
            "another one, such as 'linear'"
        )

    def _row_length(self) -> int:
        """Return the length of the rows that it was fitted on."""
        raise NotImplementedError

    @property
    def n_features_in_(self) -> int:
        """Length of the rows that it was fitted on, as scikit-learn calls it."""
        if not hasattr(self, "classes_"):
            raise AttributeError("n_features_in_ is there once fit has run")
        return self._row_length()

    def predict_proba(self, X: FloatArray) -> NDArray[np.float64]:
        """Return probabilities (N, C); rows sum to 1."""
        return softmax(self.predict_logits(X))

    def predict(self, X: FloatArray) -> NDArray[Any]:  # Any: the labels' own kind
        """Return the most probable class of each row, (N,)."""
        require_fitted(self)
        found: NDArray[Any] = self.classes_[self.predict_logits(X).argmax(axis=1)]
        return found

    def score(self, X: FloatArray, y: Labels) -> float:
        """Return the share of rows that are right."""
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # Any: any argument
        """Return the constructor's arguments; with ``deep``, as plain JSON values."""
        return head_parameters(self, deep=deep)

    def set_params(self, **parameters: Any) -> Self:  # Any: any argument
        """Set constructor's arguments; what was learned stays.

        Raises:
            UnknownNameError: There is no such argument.
        """
        known = self.get_params(deep=False)
        for name, value in parameters.items():
            if name not in known:
                raise UnknownNameError("argument", name, known)
            setattr(self, name, value)
        return self

    def state(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, as arrays by name.

        Raises:
            InputError: It is not fitted, or on labels that are not 0..C-1.
        """
        require_fitted(self)
        if not np.array_equal(self.classes_, np.arange(len(self.classes_))):
            raise InputError(
                f"a head on labels such as {self.classes_[0]!r} is not saved; number them from 0"
            )
        return self._arrays()

    def _arrays(self) -> dict[str, NDArray[Any]]:  # Any: one dtype an array
        """Return what was learned, by the names of ``saved_axes``."""
        raise NotImplementedError

    @classmethod
    def from_state(
        cls, parameters: Mapping[str, Any], state: Mapping[str, NDArray[Any]]
    ) -> Self:  # Any: plain JSON values, one dtype an array
        """Rebuild a fitted head from ``get_params`` and ``state``; the history stays behind.

        Raises:
            CheckpointError: A parameter or an array is missing, unknown or broken.
        """
        later = {name: axes for name, axes in cls.later_axes.items() if name in state}
        arrays = check_state(state, {**cls.saved_axes, **later})
        head = construct(cls, parameters)
        head._restore(arrays)
        return head

    def _restore(self, arrays: Mapping[str, NDArray[Any]]) -> object:  # Any: one dtype an array
        """Take what ``_arrays`` gave, and set everything that ends in ``_``."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=self.needs != "tokens"),
        )
