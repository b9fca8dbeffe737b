"""How much training fits into a given time: epochs, training images, validation images.

It knows sizes and speeds, and nothing about sections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cliptune.studies.speed import TrainingSpeed
from cliptune.system.formatting import duration

__all__ = ["Sizes", "Training", "fit_training", "left_for"]

_MOST_EPOCHS, _FEWEST_EPOCHS = 10, 3
_MOST_VALIDATION = 400  # to choose epoch and mixture by; the result is scored on all
_FEWEST_VALIDATION = 48
_VALIDATION_SHARE = 0.4  # of the time that a training has, at most
_TRAIN_SCORED = 1000  # by the loop, every epoch
_BATCH = 64
_MIXTURES = 11
_OVERHEAD = 5.0  # loading the model, writing the run
_FEWEST_IMAGES = 32


@dataclass(frozen=True)
class Sizes:
    """What training one encoder costs here.

    Attributes:
        n_train: Training images there are.
        n_val: Validation images there are.
        n_test: Images of the locked test.
        n_classes: C.
        speed: Of steps and scores.
    """

    n_train: int
    n_val: int
    n_test: int
    n_classes: int
    speed: TrainingSpeed

    @property
    def most_validation(self) -> int:
        """Validation images to choose by where time does not matter."""
        return min(self.n_val, _MOST_VALIDATION)

    @property
    def least_validation(self) -> int:
        """The fewest to choose by."""
        return min(self.most_validation, max(_FEWEST_VALIDATION, 2 * self.n_classes))

    @property
    def fewest_images(self) -> int:
        """The fewest to learn from."""
        return min(self.n_train, max(_FEWEST_IMAGES, 2 * self.n_classes))

    @property
    def least_seconds(self) -> float:
        """The shortest training there is."""
        return self.seconds(1, self.fewest_images, self.least_validation, mixtures=False)

    def seconds(
        self, epochs: int, train_images: int, val_images: int, *, mixtures: bool = True
    ) -> float:
        """Estimate a whole run: steps, scores of epochs and mixtures, and what is kept of it."""
        speed = self.speed
        steps = epochs * (train_images * speed.image + -(-train_images // _BATCH) * speed.step)
        scored = (epochs + 1) * min(train_images, _TRAIN_SCORED) + train_images + self.n_val
        choosing = self.validation_seconds(epochs, val_images, mixtures=mixtures)
        return steps + scored * speed.forward + choosing + _OVERHEAD

    def validation_seconds(self, epochs: int, val_images: int, *, mixtures: bool = True) -> float:
        """Estimate the scores that epoch and mixture are chosen by."""
        times = epochs + 1 + (_MIXTURES if mixtures else 0)
        return times * val_images * self.speed.forward


@dataclass(frozen=True)
class Training:
    """What fits.

    Attributes:
        epochs: Passes.
        train_images: Images to learn from.
        val_images: Images to choose by.
        mixtures: Also try mixtures with the starting weights.
        seconds: What it is expected to take.
    """

    epochs: int
    train_images: int
    val_images: int
    mixtures: bool
    seconds: float

    @property
    def settings(self) -> dict[str, int | bool]:
        """The sizes as plain JSON values."""
        return {
            "epochs": self.epochs,
            "train_images": self.train_images,
            "val_images": self.val_images,
            "mixtures": self.mixtures,
        }


def fit_training(sizes: Sizes, allowance: float) -> Training | str:
    """Find the most training that fits.

    Fewer epochs first, down to three; then fewer validation images to choose by, then fewer
    training images; in the end fewer than three epochs, and no mixtures with the start.

    Args:
        sizes: What it costs.
        allowance: Seconds.

    Returns:
        What fits, or a sentence that says why nothing does.
    """
    everything = sizes.most_validation
    for epochs in range(_MOST_EPOCHS, _FEWEST_EPOCHS - 1, -1):
        if sizes.seconds(epochs, sizes.n_train, everything) <= allowance:
            return _training(sizes, epochs, sizes.n_train, everything)
    shorter = [(_FEWEST_EPOCHS, True), (_FEWEST_EPOCHS, False), (2, False), (1, False)]
    for epochs, mixtures in shorter:
        if found := _fit_images(sizes, epochs, allowance, mixtures=mixtures):
            return found
    return (
        f"training takes at least {duration(sizes.least_seconds)} here, and {left_for(allowance)}"
    )


def left_for(seconds: float) -> str:
    """Say how much of a budget is left for something."""
    if seconds < 1:
        return "none of the budget is left for it"
    return f"{duration(seconds)} of the budget are left for it"


def _fit_images(sizes: Sizes, epochs: int, allowance: float, *, mixtures: bool) -> Training | None:
    """Find the most images for some epochs; choosing takes at most its share of the time."""

    def seconds(n_train: int, n_val: int) -> float:
        return sizes.seconds(epochs, n_train, n_val, mixtures=mixtures)

    def is_short(n_val: int) -> bool:
        chosen = sizes.validation_seconds(epochs, n_val, mixtures=mixtures)
        return chosen <= _VALIDATION_SHARE * allowance

    n_val = _most(sizes.least_validation, sizes.most_validation, is_short)
    if seconds(sizes.fewest_images, n_val) > allowance:
        n_val = sizes.least_validation
    if seconds(sizes.fewest_images, n_val) > allowance:
        return None
    n_train = _most(sizes.fewest_images, sizes.n_train, lambda n: seconds(n, n_val) <= allowance)
    return _training(sizes, epochs, n_train, n_val, mixtures=mixtures)


def _training(
    sizes: Sizes, epochs: int, train_images: int, val_images: int, *, mixtures: bool = True
) -> Training:
    seconds = sizes.seconds(epochs, train_images, val_images, mixtures=mixtures)
    return Training(epochs, train_images, val_images, mixtures, seconds)


def _most(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to ``high`` that fits, or ``low`` where none above it does."""
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
