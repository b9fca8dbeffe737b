"""Fit heads on a partition and score them: select on validation, open the test once.

It knows features, heads and scores; nothing about images, files or how results are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.calibration import (
    Threshold,
    apply_temperature,
    choose_threshold,
    fit_temperature,
)
from cliptune.errors import InputError
from cliptune.heads import HEADS, EpochRecord, Head, Needs
from cliptune.metrics import Metrics, compute_metrics
from cliptune.task import Task, head_input
from cliptune.usage import Usage

__all__ = [
    "ON_TRUNK",
    "Fitted",
    "calibrate_head",
    "fit_head",
    "fit_methods",
    "needs_of",
    "score_fitted",
]

ON_TRUNK = ("linear", "discriminant")  # the heads that also take features before a projection
_PLAN_OPTIONS = {"optimizer", "epochs", "batch_size", "schedule", "patience"}


@dataclass(frozen=True)
class Fitted:
    """A head that was fitted and calibrated, with its validation scores.

    Attributes:
        name: The method.
        head: The fitted head.
        temperature: Divides its logits; fitted on validation.
        threshold: When to abstain, or None.
        val: Scores on validation. The temperature was fitted there too, which flatters
            log-loss and ECE a little; accuracies are not touched by it.
        val_correct: bool, which validation images are right.
        epochs: What the head recorded while it trained, epoch 0 first.
        seconds: Time of the fit.
        peak_bytes: Most memory the process took beyond what it had, None where unknown.
        feature_losses: Where the features were chosen on validation: its log-loss for each.
    """

    name: str
    head: Head
    temperature: float
    threshold: Threshold | None
    val: Metrics
    val_correct: NDArray[np.bool_]
    epochs: tuple[EpochRecord, ...]
    seconds: float
    peak_bytes: int | None
    feature_losses: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is reported of it, without the test."""
        return {
            "method": self.name,
            "val": self.val.summary(),
            "epochs": [asdict(record) for record in self.epochs],
            "temperature": self.temperature,
            "threshold": asdict(self.threshold) if self.threshold else None,
            "trained_parameters": self.head.n_parameters_,
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_bytes,
            "features": self.head.needs,
            "feature_losses": dict(self.feature_losses),
        }


def fit_head(
    task: Task,
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
    head = _make_head(name, dict(options or {}), task.seed)
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
    task: Task, head: Head, *, name: str, abstain_precision: float | None, usage: Usage
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


def fit_methods(
    task: Task,
    methods: Sequence[str],
    *,
    options: Mapping[str, Any],
    abstain_precision: float | None,
) -> Iterator[Fitted]:
    """Fit zero-shot and the methods, one after another.

    Args:
        task: Data and partition.
        methods: Names in ``HEADS``; zero-shot comes first in any case.
        options: Constructor arguments for the methods, zero-shot excepted; ``features="auto"``
            takes those, of the embedding and the trunk, that have the lower log-loss on
            validation, calibrated.
        abstain_precision: Wanted precision of answers, or None.
    """
    for name in dict.fromkeys(("zero-shot", *methods)):
        own = {} if name == "zero-shot" else dict(options)
        if own.get("features") == "auto":
            yield _fit_best_features(task, name, own, abstain_precision)
        else:
            yield fit_head(task, name, options=own, abstain_precision=abstain_precision)


def _auto_as_trunk(options: Mapping[str, Any]) -> dict[str, str]:
    return {"features": "trunk"} if options["features"] == "auto" else {}


def _fit_best_features(
    task: Task, name: str, options: Mapping[str, Any], abstain_precision: float | None
) -> Fitted:
    """Fit a method on the embedding and on the trunk's features; keep the lower log-loss."""
    found = {
        features: fit_head(
            task,
            name,
            options={**options, "features": features},
            abstain_precision=abstain_precision,
        )
        for features in (("embedding",) if task.trunk is None else ("embedding", "trunk"))
    }
    best = min(found.values(), key=lambda fitted: fitted.val.log_loss.value)
    return replace(
        best,
        seconds=sum(fitted.seconds for fitted in found.values()),
        peak_bytes=max((f.peak_bytes for f in found.values() if f.peak_bytes), default=None),
        feature_losses={features: f.val.log_loss.value for features, f in found.items()},
    )


def _make_head(name: str, options: dict[str, Any], seed: int) -> Head:
    head_class = HEADS[name]
    known = {f.name: f for f in fields(head_class) if f.init}  # type: ignore[arg-type]  # all are dataclasses
    plan = {key: options.pop(key) for key in list(options) if key in _PLAN_OPTIONS}
    unknown = sorted(set(options) - set(known)) + (sorted(plan) if "plan" not in known else [])
    if unknown:
        takes = sorted(
            (set(known) - {"plan", "seed"}) | (_PLAN_OPTIONS if "plan" in known else set())
        )
        raise InputError(
            f"method {name!r} has no option {', '.join(unknown)}; "
            f"it takes {', '.join(takes) or 'none'}"
        )
    if "seed" in known:
        options["seed"] = seed
    head = head_class(**options)
    if plan:
        head = replace(head, plan=replace(head.plan, **plan))  # type: ignore[type-var,attr-defined]  # dataclasses
    return head


def needs_of(name: str, options: Mapping[str, Any]) -> Needs:
    """Return the rows that a method will take, before there are any.

    Where no option can change that, no head is imported: most of them bring torch.

    Args:
        name: A name in ``HEADS``.
        options: Arguments of the head's constructor.

    Raises:
        InputError: ``features`` came, and the head does not take it or another option, or knows
            no such features.
    """
    if "features" in options:
        options = {**options, **_auto_as_trunk(options)}
        return _make_head(name, dict(options), seed=0).needs
    return "tokens" if name == "attention" else "pooled"


def score_fitted(
    task: Task, fitted: Fitted, rows: NDArray[np.int64]
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
