"""How much training fits into a given time: epochs, training images, validation images.

It knows sizes and speeds, and nothing about sections.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.report.cells import format_cell

__all__ = ["Sizes", "Training", "fit_training"]

_MOST_EPOCHS, _FEWEST_EPOCHS = 10, 3
_MOST_VALIDATION = 400  # to choose epoch and mixture by; the result is scored on all
_TRAIN_SCORED = 1000  # by the loop, every epoch
_MIXTURES = 11
_OVERHEAD = 8.0
_FEWEST_IMAGES = 32


@dataclass(frozen=True)
class Sizes:
    """What training one encoder costs here.

    Attributes:
        n_train: Training images there are.
        n_val: Validation images there are.
        n_classes: C.
        step_seconds: Of one image in a training step.
        forward_seconds: Of one image through the tower.
    """

    n_train: int
    n_val: int
    n_classes: int
    step_seconds: float
    forward_seconds: float

    def seconds(self, epochs: int, train_images: int) -> float:
        """Estimate a whole run: epochs, their scores, mixtures, and what is kept of it."""
        n_val = min(self.n_val, _MOST_VALIDATION)
        scored = (min(train_images, _TRAIN_SCORED) + n_val) * self.forward_seconds
        return (
            epochs * (train_images * self.step_seconds + scored)
            + scored
            + (_MIXTURES * n_val + 2 * self.n_val + train_images) * self.forward_seconds
            + _OVERHEAD
        )


@dataclass(frozen=True)
class Training:
    """What fits.

    Attributes:
        epochs: Passes.
        train_images: Images to learn from.
        val_images: Images to choose by.
        seconds: What it is expected to take.
    """

    epochs: int
    train_images: int
    val_images: int
    seconds: float

    @property
    def settings(self) -> dict[str, int]:
        """The sizes as plain JSON values."""
        return {
            "epochs": self.epochs,
            "train_images": self.train_images,
            "val_images": self.val_images,
        }


def fit_training(sizes: Sizes, allowance: float) -> Training | str:
    """Find the most training that fits: all images first, then more epochs.

    Args:
        sizes: What it costs.
        allowance: Seconds.

    Returns:
        What fits, or a sentence that says why nothing does.
    """
    n_val = min(sizes.n_val, _MOST_VALIDATION)
    for epochs in range(_MOST_EPOCHS, _FEWEST_EPOCHS - 1, -1):
        seconds = sizes.seconds(epochs, sizes.n_train)
        if seconds <= allowance:
            return Training(epochs, sizes.n_train, n_val, seconds)
    fewest = min(sizes.n_train, max(_FEWEST_IMAGES, 2 * sizes.n_classes))
    least = sizes.seconds(_FEWEST_EPOCHS, fewest)
    if least > allowance:
        return (
            f"training takes at least {format_cell(least, 'seconds')} here, and "
            f"{format_cell(max(allowance, 0.0), 'seconds')} of the budget are left for it"
        )
    low, high = fewest, sizes.n_train
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if sizes.seconds(_FEWEST_EPOCHS, middle) <= allowance else (low, middle)
        )
    return Training(_FEWEST_EPOCHS, low, n_val, sizes.seconds(_FEWEST_EPOCHS, low))
