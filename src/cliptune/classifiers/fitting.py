"""Fit heads on a partition and score them: calibrated on held-out images, the test opened once.

It knows features, heads and scores; nothing about images, files or how results are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.head_data import HeadData, head_input
from cliptune.evaluation.calibration import (
    Threshold,
    apply_temperature,
    choose_threshold,
    fit_temperature,
)
from cliptune.evaluation.metrics import Metrics, Score, compute_metrics
from cliptune.heads import EpochRecord, Head
from cliptune.heads.build import make_head
from cliptune.system.usage import Usage

__all__ = ["CrossValidation", "Fitted", "calibrate_head", "fit_head", "score_fitted"]


@dataclass(frozen=True)
class CrossValidation:
    """What a method reached on images that it had not learned from.

    Attributes:
        accuracy: Mean over the repeats; the interval is for so many images.
        log_loss: Of the calibrated probabilities, in nats.
        folds: Folds of a repeat; 1 for a single cut.
        repeats: How often the images were divided anew.
        feature_losses: Where features were chosen: the log-loss with each.
    """

    accuracy: Score
    log_loss: float
    folds: int
    repeats: int
    feature_losses: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the scores as plain JSON values."""
        return {
            "accuracy": self.accuracy.value,
            "interval": [self.accuracy.low, self.accuracy.high],
            "n": self.accuracy.n,
            "log_loss": self.log_loss,
            "folds": self.folds,
            "repeats": self.repeats,
        }


@dataclass(frozen=True)
class Fitted:
    """A head that was fitted and calibrated, with its validation scores.

    Attributes:
        name: The method.
        head: The fitted head.
        temperature: Divides its logits; fitted on held-out images.
        threshold: When to abstain, or None.
        val: Scores on held-out images, None where none could be held out. The temperature was
            fitted there too, which flatters log-loss and ECE a little; accuracies are not touched
            by it.
        val_correct: bool, which of these are right; empty where there are none.
        epochs: What the head recorded while it trained, epoch 0 first.
        seconds: Time of the fit.
        peak_bytes: Most memory the process took beyond what it had, None where unknown.
        features: What it learned from: ``embedding``, ``penultimate``, ``both`` or ``tokens``.
        settings: Arguments of the head that were chosen or given.
        cross_validation: Where it was chosen and calibrated by cross-validation; it has then
            learned from every image outside the test.
    """

    name: str
    head: Head
    temperature: float
    threshold: Threshold | None
    val: Metrics | None
    val_correct: NDArray[np.bool_]
    epochs: tuple[EpochRecord, ...]
    seconds: float
    peak_bytes: int | None
    features: str = "embedding"
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: plain JSON values
    cross_validation: CrossValidation | None = None

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is reported of it, without the test."""
        found = self.cross_validation
        return {
            "method": self.name,
            "val": self.val.summary() if self.val else None,
            "epochs": [asdict(record) for record in self.epochs],
            "temperature": self.temperature,
            "threshold": asdict(self.threshold) if self.threshold else None,
            "trained_parameters": self.head.n_parameters_,
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_bytes,
            "features": self.features,
            "settings": dict(self.settings),
            "cross_validation": found.to_dict() if found else None,
            "feature_losses": dict(found.feature_losses) if found else {},
        }


def fit_head(
    task: HeadData,
    name: str,
    *,
    options: dict[str, Any] | None = None,
    abstain_precision: float | None = None,
) -> Fitted:
    """Fit one method and calibrate it on validation.

    Args:
        task: Data and partition.
        name: A name in ``HEADS``.
        options: Arguments of the head's constructor; its seed is the task's.
        abstain_precision: Choose a threshold whose answers reach this precision.

    Raises:
        UnknownNameError: There is no such head.
        InputError: The head does not take one of the options.
    """
    head = make_head(name, options or {}, seed=task.seed)
    train, val = head_input(task, head, task.train), head_input(task, head, task.val)
    with Usage() as usage:
        head.fit(
            train,
            task.labels[task.train],
            text_rows=task.text_rows,
            logit_scale=task.logit_scale,
            validation=(val, task.labels[task.val]),
        )
    return calibrate_head(task, head, name=name, abstain_precision=abstain_precision, usage=usage)


def calibrate_head(
    task: HeadData, head: Head, *, name: str, abstain_precision: float | None, usage: Usage
) -> Fitted:
    """Fit temperature and threshold of a fitted head on validation, and score it there.

    Args:
        task: Data and partition.
        head: A fitted head.
        name: Of the method that the head came from.
        abstain_precision: Choose a threshold whose answers reach this precision.
        usage: What the method took.
    """
    labels = task.labels[task.val]
    logits = head.predict_logits(head_input(task, head, task.val))
    temperature = fit_temperature(logits, labels)
    probabilities = apply_temperature(logits, temperature)
    threshold = None
    if abstain_precision is not None:
        threshold = choose_threshold(probabilities, labels, precision=abstain_precision)
    return Fitted(
        name=name,
        head=head,
        temperature=temperature,
        threshold=threshold,
        val=compute_metrics(labels, probabilities, class_names=task.class_names, seed=task.seed),
        val_correct=probabilities.argmax(axis=1) == labels,
        epochs=tuple(head.history_),
        seconds=usage.seconds,
        peak_bytes=usage.peak_bytes,
    )


def score_fitted(
    task: HeadData, fitted: Fitted, rows: NDArray[np.int64]
) -> tuple[Metrics, NDArray[np.float64]]:
    """Score a fitted method on rows that it has not seen, such as the opened test.

    Returns:
        The scores and the calibrated probabilities, float64 (M, C).
    """
    logits = fitted.head.predict_logits(head_input(task, fitted.head, rows))
    probabilities = apply_temperature(logits, fitted.temperature)
    metrics = compute_metrics(
        task.labels[rows], probabilities, class_names=task.class_names, seed=task.seed
    )
    return metrics, probabilities
