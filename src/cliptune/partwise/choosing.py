"""Methods compared on held-out rows of a job, and fitted again on every label outside the test.

It knows heads and scores; nothing about encoders, runs or how results are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import CrossValidation, Fitted
from cliptune.evaluation.calibration import apply_temperature, choose_threshold, fit_temperature
from cliptune.evaluation.metrics import compute_metrics
from cliptune.heads import Head
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.partwise.moments import Moments, discriminant_of, prototype_of
from cliptune.partwise.roles import Role
from cliptune.partwise.rows import PartRows
from cliptune.selection.answer import Answer, answer
from cliptune.selection.folds import Folds
from cliptune.selection.judging import Judged
from cliptune.selection.shortcuts.discriminant import SHRINKAGES, shrunken_answers, with_texts

__all__ = ["METHODS", "ChosenOnParts", "PartTask", "choose_on_parts"]

# What can be fitted from a few passes over the rows.
METHODS = ("zero-shot", "prototype", "discriminant", "linear")
_SAMPLE_ROWS = 20_000  # that logistic regressions start from
_SAMPLE_BYTES = 64 << 20
_SAMPLE_LOGITS = 4_000_000
_LEARNED = (Role.TRAIN, Role.HELD, Role.REST)

Stage = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
_Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class PartTask:
    """What every method gets alike.

    Attributes:
        rows: The labelled rows of the job.
        text_rows: float32 (C, D), the class texts.
        logit_scale: The encoder's factor on cosines.
        seed: Of everything random.
        stage: Begins a pass over the rows, by its name; what it gives is told rows done and all.
    """

    rows: PartRows
    text_rows: NDArray[np.float32]
    logit_scale: float
    seed: int
    stage: Stage

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.text_rows)


@dataclass(frozen=True)
class ChosenOnParts:
    """The methods that were fitted, and which of them to ship.

    Attributes:
        fitted: By name, zero-shot first; each fitted on every labelled row outside the test.
        answer: The rule's answer.
        passes: By name, how often the vectors were read for a method, that for the test left out.
    """

    fitted: Mapping[str, Fitted]
    answer: Answer
    passes: Mapping[str, int]


@dataclass
class _Gathered:
    """What one pass over the rows leaves in memory."""

    learned: Moments
    others: Moments
    held: _Rows
    sample: _Rows
    seconds: float


@dataclass
class _Option:
    """A method with the settings that suit it, and how to fit it on all rows.

    Attributes:
        settings: Arguments of the head.
        logits: float32 (H, C), for the held-out rows.
        finish: Fits it on every label outside the test; also returns the passes that took.
    """

    settings: dict[str, Any]  # Any: arguments of a head
    logits: NDArray[np.float32]
    finish: Callable[[], tuple[Head, int]]
    passes: int = 0


def choose_on_parts(
    task: PartTask,
    methods: Sequence[str],
    *,
    abstain_precision: float | None = None,
    margin: float = 0.01,
    select: str = "accuracy",
) -> ChosenOnParts:
    """Compare methods on rows that none has learned from; fit each on all of them.

    Args:
        task: The rows and the texts.
        methods: Names in ``METHODS``; zero-shot is among them in any case.
        abstain_precision: Choose thresholds whose answers reach this precision.
        margin: How much of the score a cheaper method may cost.
        select: The score that methods are compared by.
    """
    gathered = _gather(task)
    comparison = _Comparison(task, gathered, abstain_precision, select)
    for method in dict.fromkeys(("zero-shot", *methods)):
        comparison.add(method)
    found = answer(
        comparison.judged,
        margin=margin,
        chance=_chance(gathered.held[1], select),
        seed=task.seed,
        select=select,
    )
    return ChosenOnParts(comparison.fitted, found, comparison.passes)


def _chance(labels: NDArray[np.int64], select: str) -> float:
    if select in ("balanced-accuracy", "macro-f1"):
        return 1 / len(np.unique(labels))
    return float(np.bincount(labels).max() / len(labels))


def _gather(task: PartTask) -> _Gathered:
    """Read all rows outside the test once: moments, what is held out, a sample of the others."""
    began = time.perf_counter()
    rows, n_classes = task.rows, task.n_classes
    learned, others = (Moments.none(n_classes, rows.dim) for _ in range(2))
    held: list[_Rows] = []
    sample: list[_Rows] = []
    share = _sample_size(task) / max(rows.roles.n(Role.TRAIN), 1)
    rng = np.random.default_rng([task.seed, 31])
    with task.stage("pass 1: sums of classes") as show:
        for batch in rows.batches(_LEARNED, progress=show):
            train, kept = batch.roles == Role.TRAIN, batch.roles == Role.HELD
            learned.add(batch.vectors[train], batch.labels[train])
            others.add(batch.vectors[~train], batch.labels[~train])
            held.append((batch.vectors[kept], batch.labels[kept]))
            drawn = train & (rng.random(len(train)) < share)
            sample.append((batch.vectors[drawn], batch.labels[drawn]))
    seconds = time.perf_counter() - began
    return _Gathered(learned, others, _joined(held), _joined(sample), seconds)


def _joined(batches: list[_Rows]) -> _Rows:
    vectors, labels = zip(*batches, strict=True)
    return np.concatenate(vectors), np.concatenate(labels)


def _sample_size(task: PartTask) -> int:
    by_size = min(_SAMPLE_BYTES // (4 * task.rows.dim), _SAMPLE_LOGITS // task.n_classes)
    return min(_SAMPLE_ROWS, by_size)


@dataclass
class _Comparison:
    """The methods so far."""

    task: PartTask
    gathered: _Gathered
    abstain_precision: float | None
    select: str
    fitted: dict[str, Fitted] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)

    def add(self, method: str) -> None:
        """Choose a method's settings, fit and calibrate it, and judge it on the held-out rows."""
        began = time.perf_counter()
        option = self._option(method)
        head, passes = option.finish()
        seconds = time.perf_counter() - began + (0 if method == "zero-shot" else self._shared)
        self.passes[method] = option.passes + passes
        self.fitted[method], self.judged[method] = self._calibrated(method, option, head, seconds)

    @property
    def _shared(self) -> float:
        return self.gathered.seconds  # of the pass that all share: each would need it

    def _option(self, method: str) -> _Option:
        if method == "zero-shot":
            return self._zero_shot()
        if method == "prototype":
            return self._prototype()
        return self._discriminant() if method == "discriminant" else self._linear()

    def _zero_shot(self) -> _Option:
        task = self.task
        head = ZeroShotHead().fit(text_rows=task.text_rows, logit_scale=task.logit_scale)
        return _Option({}, head.predict_logits(self.gathered.held[0]), lambda: (head, 0))

    def _prototype(self) -> _Option:
        gathered, scale = self.gathered, self.task.logit_scale
        logits = prototype_of(gathered.learned, scale).predict_logits(gathered.held[0])
        everything = gathered.learned + gathered.others
        return _Option(
            {"features": "embedding"}, logits, lambda: (prototype_of(everything, scale), 0), 1
        )

    def _discriminant(self) -> _Option:
        task, gathered = self.task, self.gathered
        held, labels = gathered.held
        texts = ZeroShotHead().fit(text_rows=task.text_rows, logit_scale=task.logit_scale)
        of_texts, moments = texts.predict_logits(held), gathered.learned
        parts = shrunken_answers(held, moments.within, moments.means, task.rows.dim)
        settings = [
            with_texts(of_texts, part, labels, {"features": "embedding", "shrinkage": shrinkage})
            for shrinkage, part in zip(SHRINKAGES, parts, strict=True)
        ]
        best = min(settings, key=lambda one: calibrated_log_loss(one.logits, labels))
        chosen = dict(best.options)

        def finish() -> tuple[Head, int]:
            everything = gathered.learned + gathered.others
            return discriminant_of(
                everything, chosen, text_rows=task.text_rows, logit_scale=task.logit_scale
            ), 0

        return _Option(chosen, best.logits, finish, 1)

    def _linear(self) -> _Option:
        from cliptune.partwise.linear import Basis, Regressions, start_on_sample  # with torch

        task, gathered = self.task, self.gathered
        held, labels = gathered.held
        shared = Regressions(Basis.of(gathered.learned), task.text_rows, task.logit_scale)
        start = start_on_sample(shared, gathered.sample, gathered.held)
        reader = _Reader(task)
        found, passes = shared.minimise(
            start, lambda: reader.read((Role.TRAIN,)), task.rows.roles.n(Role.TRAIN)
        )
        logits = [shared.logits(found, n, held) for n in range(len(found.multiples))]
        best = int(np.argmin([calibrated_log_loss(one, labels) for one in logits]))
        n_all = task.rows.roles.n(*_LEARNED)

        def finish() -> tuple[Head, int]:
            alone, more = shared.minimise(found.only(best), lambda: reader.read(_LEARNED), n_all)
            return shared.head(alone, 0, n_all), more

        settings = {
            "features": "embedding",
            "penalty": found.multiples[best] / n_all,
            "text": found.text,
        }
        return _Option(settings, logits[best], finish, 1 + passes)

    def _calibrated(
        self, method: str, option: _Option, head: Head, seconds: float
    ) -> tuple[Fitted, Judged]:
        labels, task = self.gathered.held[1], self.task
        temperature = fit_temperature(option.logits, labels)
        probabilities = apply_temperature(option.logits, temperature)
        n = len(labels)
        cut = Folds((np.arange(n),), n + self.gathered.learned.n, 1, 1)
        judged = Judged.of(probabilities, labels, cut, select=self.select)
        names = task.rows.roles.class_names
        val = compute_metrics(labels, probabilities, class_names=names, seed=task.seed)
        threshold = None
        if self.abstain_precision is not None:
            threshold = choose_threshold(probabilities, labels, precision=self.abstain_precision)
        fitted = Fitted(
            name=method,
            head=head,
            temperature=temperature,
            threshold=threshold,
            val=val,
            val_correct=probabilities.argmax(axis=1) == labels,
            epochs=(),
            seconds=seconds,
            peak_bytes=None,
            settings=option.settings,
            cross_validation=CrossValidation(val.accuracy, judged.log_loss, 1, 1),
        )
        return fitted, judged


@dataclass
class _Reader:
    """Reads rows for logistic regressions, and says which pass it is."""

    task: PartTask

    def read(self, roles: Sequence[Role]) -> Iterator[_Rows]:
        """Give the rows of some roles."""
        rows = self.task.rows
        with self.task.stage(f"pass {rows.passes + 1}: linear") as show:
            for batch in rows.batches(roles, progress=show):
                yield batch.vectors, batch.labels
