"""What a fine-tuning run reports, in order: the plan, steps, epochs, the mixture, the result.

It knows nothing about how these come about or are shown, and imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "AlphaPoint",
    "BlocksRecord",
    "EpochRecord",
    "Event",
    "HeadRecord",
    "Interpolation",
    "Scores",
    "StepRecord",
    "TrainingOutcome",
    "TrainingPlan",
]


@dataclass(frozen=True)
class Scores:
    """How a model classifies n images.

    Attributes:
        accuracy: Share whose most probable class is right; for captions, share of images whose
            own caption comes first among all.
        log_loss: Mean negative log-probability of the right answer, in nats.
        n: Number of images.
    """

    accuracy: float
    log_loss: float
    n: int

    def is_better_than(self, other: Scores) -> bool:
        """Compare by accuracy; between equals, the smaller log loss is better."""
        return (self.accuracy, -self.log_loss) > (other.accuracy, -other.log_loss)


@dataclass(frozen=True)
class TrainingPlan:
    """What is about to happen; the first event of a run.

    Attributes:
        groups: The table of groups: name, tensors, parameters, learning rate, start epoch.
        method: ``full``, ``lora`` or ``head-then-full``.
        loss: The loss's name.
        precision: What the towers compute in.
        batch_size: Images a step, over all processes.
        micro_batch_size: Images encoded at once within a process.
        steps_an_epoch: Steps.
        n_processes: Processes.
        resumed_at_step: Steps that an earlier run did.
        views: Views of each training image.
        kept_bytes: What the frozen blocks' output for them takes on disk; 0 where it is not kept.
    """

    groups: tuple[Mapping[str, str | int | float | None], ...]
    method: str
    loss: str
    precision: str
    batch_size: int
    micro_batch_size: int
    steps_an_epoch: int
    n_processes: int
    resumed_at_step: int = 0
    views: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True)
class BlocksRecord:
    """How far the frozen blocks' output for an epoch's view of the images is computed.

    Attributes:
        done: Images whose hidden states were computed.
        total: Images whose hidden states were lacking.
    """

    done: int
    total: int


@dataclass(frozen=True)
class StepRecord:
    """One step.

    Attributes:
        step: Steps done, over all epochs.
        n_steps: Steps of the whole run.
        epoch: The epoch it belongs to, from 1.
        loss: In nats.
        gradient_norm: Before clipping.
        learning_rates: By group.
        images_per_second: Of this step.
        seconds_left: Until the last epoch's end, at the pace so far, validation included.
    """

    step: int
    n_steps: int
    epoch: int
    loss: float
    gradient_norm: float
    learning_rates: Mapping[str, float]
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class HeadRecord:
    """The linear head that ``head-then-full`` fits before anything else moves.

    Attributes:
        l2: Strength of the pull towards the zero-shot head, chosen on validation; nothing
            where the zero-shot head stays.
        train: Scores on training images.
        val: Scores on validation images.
        seconds: Time.
    """

    l2: float | None
    train: Scores
    val: Scores
    seconds: float


@dataclass(frozen=True)
class EpochRecord:
    """One row of the per-epoch table; epoch 0 is the model before training.

    Attributes:
        epoch: Epochs done.
        train: Scores on (a fixed part of) the training images, without augmentation.
        val: Scores on the validation images.
        loss: Mean training loss of the epoch; nothing for epoch 0.
        seconds: Time, validation included.
        learning_rates: By group, at the epoch's last step.
        watch: Zero-shot scores on data that was not trained on, by name.
    """

    epoch: int
    train: Scores
    val: Scores
    loss: float | None
    seconds: float
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    watch: Mapping[str, Scores] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpochRecord:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        scores = {name: Scores(**values[name]) for name in ("train", "val")}
        watch = {name: Scores(**entry) for name, entry in values["watch"].items()}
        return cls(**{**values, **scores, "watch": watch})


@dataclass(frozen=True)
class AlphaPoint:
    """A mixture of starting and trained weights, and how it does.

    Attributes:
        alpha: Share of the trained weights: 0 is the start, 1 the trained model.
        val: Scores on the validation images.
        watch: Zero-shot scores on data that was not trained on, by name.
    """

    alpha: float
    val: Scores
    watch: Mapping[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True)
class Interpolation:
    """The mixture chosen on validation, and the curve it was chosen from."""

    alpha: float
    curve: tuple[AlphaPoint, ...]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class TrainingOutcome:
    """The end of a run; the encoder's module now holds the chosen weights.

    Attributes:
        best_epoch: The epoch with the best validation.
        stopped_early: Whether patience ran out.
        epochs: The per-epoch table.
        interpolation: The mixture with the starting weights, if asked for.
        head: Weight (C, D) and bias (C,) of the linear head on unit rows, else nothing.
        merge_error: Largest difference that merging LoRA made to a unit row's element.
        val: Validation scores of the weights the module now holds.
    """

    best_epoch: int
    stopped_early: bool
    epochs: tuple[EpochRecord, ...]
    interpolation: Interpolation | None
    head: tuple[Any, Any] | None  # Any: float32 NumPy arrays, without importing NumPy here
    merge_error: float | None
    val: Scores


Event = (
    TrainingPlan
    | HeadRecord
    | BlocksRecord
    | StepRecord
    | EpochRecord
    | Interpolation
    | TrainingOutcome
)
