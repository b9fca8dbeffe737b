"""What ``finetune`` gives: epochs, mixture, scores, what is kept on watched data.

It knows nothing about how a model is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cliptune.checks.results import CheckResult
from cliptune.evaluation.calibration import Threshold
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison
from cliptune.features.guard import RowsChecked
from cliptune.results.base import Result, Templates
from cliptune.results.fitted import CrossValidated, LabelErrorCount
from cliptune.results.plain import ABSENT
from cliptune.results.scores import score_cells
from cliptune.system.formatting import change as write_change
from cliptune.system.formatting import change_interval, decimal, duration, interval, percent, with_p
from cliptune.system.text_tables import Shown, TextTable

__all__ = [
    "Epoch",
    "EpochScores",
    "FinetuneResult",
    "FirstHead",
    "Mixture",
    "MixturePoint",
    "Watched",
]


@dataclass(frozen=True)
class EpochScores:
    """How a model classifies n images.

    Attributes:
        accuracy: Share whose most probable class is right.
        log_loss: In nats.
        n: Images.
        interval: 95 % interval of the accuracy.
    """

    accuracy: float
    log_loss: float
    n: int
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch; epoch 0 is the model before training.

    Attributes:
        epoch: Epochs done.
        train: Scores on training images.
        val: Scores on validation images.
        loss: Mean training loss, None of epoch 0.
        seconds: Time, validation included.
        learning_rates: By group, at its last step.
        watch: Zero-shot scores on watched data, by name.
    """

    epoch: int
    train: EpochScores
    val: EpochScores
    loss: float | None
    seconds: float
    learning_rates: Mapping[str, float]
    watch: Mapping[str, EpochScores]


@dataclass(frozen=True)
class MixturePoint:
    """A mixture of starting and trained weights.

    Attributes:
        alpha: Share of the trained weights.
        val: Scores on validation images.
        watch: On watched data, by name.
    """

    alpha: float
    val: EpochScores
    watch: Mapping[str, EpochScores]


@dataclass(frozen=True)
class Mixture:
    """The mixture that was chosen on validation.

    Attributes:
        alpha: Share of the trained weights.
        curve: All that were tried.
    """

    alpha: float
    curve: tuple[MixturePoint, ...]


@dataclass(frozen=True)
class Watched:
    """Zero-shot on data that were only looked at.

    Attributes:
        before: Before training.
        after: With the weights that were kept.
    """

    before: EpochScores
    after: EpochScores


@dataclass(frozen=True)
class FirstHead:
    """The linear head that ``head-then-full`` fits first.

    Attributes:
        l2: Strength of the pull towards zero-shot, None where that stays.
        train: Scores on training images.
        val: Scores on validation images.
        seconds: Time.
    """

    l2: float | None
    train: EpochScores
    val: EpochScores
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FinetuneResult(Result):
    """A model whose own weights were trained, and the classifier that came of it.

    Attributes:
        command: ``fit``.
        data: The data set, as it was named.
        model: The encoder it started from.
        method: ``full``, ``lora`` or ``head-then-full``.
        templates: The texts that class names were put into.
        val_fraction: Share of training images cut for validation.
        seed: Of everything random.
        watch: Data that were only looked at.
        abstain_precision: Wanted precision of answers.
        options: Of the training.
        val: Scores on validation images.
        epochs: One an epoch, epoch 0 first.
        temperature: Divides the logits.
        threshold: When the classifier abstains.
        trained_parameters: Numbers that trained at any time.
        seconds: Of all epochs.
        peak_memory_bytes: None.
        features: ``embedding``.
        settings: Nothing.
        cross_validation: None.
        feature_losses: Nothing.
        zero_shot: Scores of the model before, on the test.
        test: Scores on the locked test.
        best_epoch: The epoch that validation chose.
        stopped_early: Whether patience ran out.
        interpolation: The mixture that validation chose.
        watched: By the name of the data.
        head: The head of ``head-then-full``.
        merge_error: Largest difference that merging LoRA made.
        groups: What trained at which rate.
        loss: Its name.
        training_precision: What the towers computed in while they trained.
        batch_size: Images a step.
        steps_an_epoch: Steps.
        n_processes: Processes.
        checks: What was looked at before.
        against_zero_shot: From zero-shot to the trained model, on the test.
        engine: What ran the trained encoder.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        class_names: C names.
        n_train: Training images.
        notes: What was done, one sentence each.
        data_digest: Of ids, labels, splits and names.
        features_key: Digest of all that made the features.
        run: The folder of the classifier.
        label_errors: None where a class has a single image.
        seconds_total: From the command to its end.
    """

    command: str
    data: str
    model: str
    method: str
    templates: Templates
    val_fraction: float
    seed: int
    watch: tuple[str, ...]
    abstain_precision: float | None
    options: Mapping[str, Any]  # Any: plain JSON values
    val: Metrics
    epochs: tuple[Epoch, ...]
    temperature: float
    threshold: Threshold | None
    trained_parameters: int
    seconds: float
    peak_memory_bytes: int | None
    features: str
    settings: Mapping[str, Any]  # Any: plain JSON values
    cross_validation: CrossValidated | None
    feature_losses: Mapping[str, float]
    zero_shot: Metrics
    test: Metrics
    best_epoch: int
    stopped_early: bool
    interpolation: Mixture | None
    watched: Mapping[str, Watched]
    head: FirstHead | None
    merge_error: float | None
    groups: tuple[Mapping[str, Any], ...]  # Any: plain JSON values, a row of the table
    loss: str
    training_precision: str
    batch_size: int
    steps_an_epoch: int
    n_processes: int
    checks: tuple[CheckResult, ...]
    against_zero_shot: Comparison
    engine: str
    precision: str
    rows_checked: RowsChecked
    class_names: tuple[str, ...]
    n_train: int
    notes: tuple[str, ...]
    data_digest: str
    features_key: str
    run: str
    label_errors: LabelErrorCount | None
    seconds_total: float | None = field(default=None, metadata=ABSENT)

    def blocks(self) -> tuple[Shown, ...]:
        """Return epochs, scores, what is kept on watched data, and where the run is."""
        return (
            TextTable.of(
                f"{self.method} on {self.data}: epoch by epoch, epoch 0 is zero-shot",
                ("epoch", "loss", "train", "validation", "95 % interval", "log-loss", "time"),
                [_epoch_row(record) for record in self.epochs],
            ),
            TextTable.of(
                f"{self.n_train} training, {self.val.n} validation, "
                f"{self.test.n} locked test images; {self.model}",
                ("", "test", "95 % interval", "balanced", "log-loss", "ECE"),
                [
                    ("zero-shot", *score_cells(self.zero_shot)),
                    (self.method, *score_cells(self.test)),
                ],
            ),
            *((self._watched_table(),) if self.watched else ()),
            self._outcome(),
            f"Classifier with its own weights, scores and errors: {self.run}",
        )

    def _watched_table(self) -> TextTable:
        return TextTable.of(
            "What is kept: zero-shot on data that were only watched",
            ("data", "n", "before", "95 % interval", "after", "95 % interval"),
            [
                (name, str(one.before.n), *_accuracy(one.before), *_accuracy(one.after))
                for name, one in self.watched.items()
            ],
        )

    def _outcome(self) -> str:
        change = self.against_zero_shot
        ends = change_interval(change.low, change.high)
        chosen = f"Weights of epoch {self.best_epoch}."
        if self.interpolation is not None:
            chosen = (
                f"Weights of epoch {self.best_epoch}, {self.interpolation.alpha:.1f} of their "
                "change kept, both chosen on validation."
            )
        return (
            f"Against zero-shot on the same test: {write_change(change.difference)} "
            f"points ({ends}, {with_p(change.p_value)}). {chosen}"
        )


def _epoch_row(record: Epoch) -> tuple[str, ...]:
    return (
        str(record.epoch),
        "" if record.loss is None else decimal(record.loss),
        percent(record.train.accuracy),
        *_accuracy(record.val),
        decimal(record.val.log_loss),
        duration(record.seconds),
    )


def _accuracy(scores: EpochScores) -> tuple[str, str]:
    return percent(scores.accuracy), interval(*scores.interval)
