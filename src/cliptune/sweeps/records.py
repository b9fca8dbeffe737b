"""What a sweep is made of: cells (what to train), trials (what came out), and their JSON.

It knows nothing about how a cell is trained or where trials are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Purpose", "Trial", "TrialConfig", "pack_hits", "unpack_hits"]

Purpose = Literal["grid", "extension", "batch-probe", "size-probe"]


@dataclass(frozen=True)
class TrialConfig:
    """One training to be done.

    Attributes:
        rates: Values by axis, such as ``{"lr": 0.01, "wd": 0}``.
        seed: Of the order of the rows and of everything else random.
        batch_size: Images a step.
        n_train: Training images used, the first of a seeded stratified order.
        steps: Updates in all.
        purpose: Why it is trained; only ``grid`` and ``extension`` compete for the best.
    """

    rates: Mapping[str, float]
    seed: int
    batch_size: int
    n_train: int
    steps: int
    purpose: Purpose = "grid"

    @property
    def point(self) -> tuple[tuple[str, float], ...]:
        """The rates as something that can be a key."""
        return tuple(sorted(self.rates.items()))

    @property
    def key(self) -> str:
        """A text that two cells share if and only if they are the same training."""
        rates = " ".join(f"{name}={value:.10g}" for name, value in self.point)
        return f"{rates} seed={self.seed} batch={self.batch_size} n={self.n_train} s={self.steps}"


@dataclass(frozen=True)
class Trial:
    """A training that is done.

    Attributes:
        cell: What was trained.
        val_accuracy: On the validation images, of the kept epoch.
        val_loss: Mean negative log-probability there, in nats.
        diverged: A loss was not finite, or training ended above where it began.
        seconds: What it took; a member of a stack counts its share of it.
        losses: Training loss by epoch (heads, epoch 0 first) or by step (towers); nan where
            it was not finite.
        hits: bool (V,), which validation images are right.
    """

    cell: TrialConfig
    val_accuracy: float
    val_loss: float
    diverged: bool
    seconds: float
    losses: tuple[float, ...]
    hits: NDArray[np.bool_]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is kept of it in a study."""
        return {
            "cell": asdict(self.cell),
            "val_accuracy": self.val_accuracy,
            "val_loss": _or_none(self.val_loss),
            "diverged": self.diverged,
            "seconds": self.seconds,
            "losses": [_or_none(loss) for loss in self.losses],
            "hits": pack_hits(self.hits),
            "n_val": len(self.hits),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        loss = values["val_loss"]
        return cls(
            cell=TrialConfig(**values["cell"]),
            val_accuracy=values["val_accuracy"],
            val_loss=float("nan") if loss is None else loss,
            diverged=values["diverged"],
            seconds=values["seconds"],
            losses=tuple(float("nan") if v is None else v for v in values["losses"]),
            hits=unpack_hits(values["hits"], values["n_val"]),
        )


def pack_hits(hits: NDArray[np.bool_]) -> str:
    """Write bool (V,) as hexadecimal digits, four images a digit."""
    return np.packbits(hits).tobytes().hex()


def unpack_hits(text: str, n: int) -> NDArray[np.bool_]:
    """Read what ``pack_hits`` gave for n images."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=n)
    return bits.astype(np.bool_)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
