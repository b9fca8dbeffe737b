"""What candidates learn from, and what they answered for images that were held out.

It knows no method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.head_data import join_tokens
from cliptune.errors import InputError
from cliptune.heads import Needs
from cliptune.heads.balance import Balance
from cliptune.heads.choice import calibrated_log_loss

__all__ = ["Candidate", "Pool", "Setting", "best_setting", "scanned"]

_SCANNED_NUMBERS = 200_000  # logits that settings are compared on; more would only take longer


@dataclass(frozen=True)
class Pool:
    """The labelled images outside the locked test.

    Attributes:
        vectors: float32 (n, D), unit rows.
        trunk: float32 (n, D + E), the vectors with the features before the projection behind
            them, or None where the encoder has none.
        tokens: (n, T, D), or None where no method needs them.
        labels: int64 (n,), 0..C-1.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
        seed: Of everything random.
        balance: Of logistic regressions, where classes are of unlike sizes; see ``LinearHead``.
        soft: float32 (n, C), what each image counts for each class where heads take it, or None.
    """

    vectors: NDArray[np.float32]
    trunk: NDArray[np.float32] | None
    tokens: NDArray[np.floating[Any]] | None
    labels: NDArray[np.int64]
    text_rows: NDArray[np.float32]
    logit_scale: float
    seed: int = 0
    balance: Balance = "none"
    soft: NDArray[np.float32] | None = None

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.text_rows)

    def soft_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return what some images count for each class, where labels are not certain."""
        return None if self.soft is None else self.soft[rows]

    def class_sizes(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what some images count for each class in all, float64 (C,)."""
        if self.soft is None:
            counts = np.bincount(self.labels[rows], minlength=self.n_classes)
            return counts.astype(np.float64)
        sizes: NDArray[np.float64] = self.soft[rows].sum(axis=0, dtype=np.float64)
        return sizes

    @property
    def all_features(self) -> tuple[str, ...]:
        """What a method can learn from here."""
        return ("embedding",) if self.trunk is None else ("embedding", "penultimate", "both")

    def columns(self, features: str) -> NDArray[np.float32]:
        """Return float32 (n, m), the columns that such features are."""
        if features == "embedding":
            return self.vectors
        assert self.trunk is not None  # it is not among ``all_features``
        return self.trunk if features == "both" else self.trunk[:, self.vectors.shape[1] :]

    def rows(
        self, chosen: NDArray[np.int64], needs: Needs
    ) -> NDArray[np.floating[Any]]:  # Any: tokens may be of half precision
        """Return what a head takes that needs such rows, for some of the images.

        Raises:
            InputError: They were not extracted.
        """
        if needs == "pooled":
            return self.vectors[chosen]
        whole = self.trunk if needs == "trunk" else self.tokens
        if whole is None:
            raise InputError(f"{needs} features are needed here, and were not extracted")
        if needs == "trunk":
            return whole[chosen]
        return join_tokens(self.vectors[chosen], whole[chosen])


@dataclass(frozen=True)
class Setting:
    """One setting of a method on some features, and its answers.

    Attributes:
        options: Arguments of the head's constructor.
        logits: float32 (H, C), for the folds' held-out rows in their order.
    """

    options: Mapping[str, Any]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """A method on some features with the settings that suit it best.

    Attributes:
        method: A name in ``HEADS``.
        features: ``embedding``, ``penultimate`` or ``both``; ``tokens`` for heads over patches.
        options: Arguments of the head's constructor.
        logits: float32 (H, C), for the folds' held-out rows in their order, not calibrated; fewer
            where only the first repeat was answered.
        seconds: What its cross-validation took.
        peak_bytes: Most memory that took beyond what the process had; None where unknown.
    """

    method: str
    features: str
    options: Mapping[str, Any]
    logits: NDArray[np.float32]
    seconds: float = 0.0
    peak_bytes: int | None = field(default=None)


def best_setting(
    settings: Iterable[Setting], labels: NDArray[np.int64], *, patience: int = 0
) -> Setting:
    """Return the setting with the lowest smoothed log-loss at its best temperature.

    Args:
        settings: One or more; they are made while they are compared.
        labels: int64 (H,), of the held-out rows.
        patience: Stop after the loss has risen this often in a row; 0 for never.
    """
    best: tuple[float, Setting] | None = None
    worse = 0
    for setting in settings:
        shown = scanned(setting.logits)
        loss = calibrated_log_loss(setting.logits[shown], labels[shown])
        if best is None or loss < best[0]:
            best, worse = (loss, setting), 0
            continue
        worse += 1
        if patience and worse >= patience:
            break
    assert best is not None  # there is one
    return best[1]


def scanned(logits: NDArray[np.float32]) -> slice:
    """Return the rows that settings are compared on: evenly spaced, enough to tell them apart."""
    return slice(None, None, max(1, logits.size // _SCANNED_NUMBERS))
