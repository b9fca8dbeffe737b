"""What ``fit`` gives of heads: every method's scores, the recommendation, the learning curve.

It knows nothing about how heads are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cliptune.evaluation.calibration import Threshold
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison
from cliptune.features.guard import RowsChecked
from cliptune.heads.options import EpochRecord
from cliptune.results.base import Result, Templates
from cliptune.results.class_thresholds import ClassThresholds
from cliptune.results.few_shot import FewShot
from cliptune.results.plain import ABSENT, FLAT
from cliptune.results.unlabelled import UnlabelledImages
from cliptune.system.formatting import change as write_change
from cliptune.system.formatting import (
    change_interval,
    count,
    decimal,
    duration,
    interval,
    percent,
    size,
    with_p,
)
from cliptune.system.text_tables import Shown, TextTable

__all__ = [
    "Compared",
    "CropsCompared",
    "CrossValidated",
    "EncoderAnswers",
    "EncodersCompared",
    "ExpectedGain",
    "FitResult",
    "LabelErrorCount",
    "MethodResult",
    "PartsRead",
]

_FEATURES = {
    "embedding": "the embedding",
    "penultimate": "the features before the projection",
    "both": "the embedding and the features before the projection",
}


@dataclass(frozen=True)
class CrossValidated:
    """What a method answered for images that it had not learned from.

    Attributes:
        accuracy: Mean over repeats.
        interval: Both ends of its 95 % interval.
        n: Images.
        log_loss: In nats.
        folds: Parts that were held out in turn.
        repeats: How often.
    """

    accuracy: float
    interval: tuple[float, float]
    n: int
    log_loss: float
    folds: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """A method: what it is, what it took, and its scores.

    Attributes:
        method: Its name.
        val: Scores on held-out images, None where none could be held out.
        epochs: What it recorded while it trained.
        temperature: Divides its logits.
        threshold: When it abstains.
        trained_parameters: Numbers that were fitted.
        seconds: What choosing and fitting took.
        peak_memory_bytes: Of that, where it is known.
        features: What it learned from.
        settings: Arguments of the head.
        cross_validation: How it was chosen.
        feature_losses: Held-out log-loss by the features it could learn from.
        test: Scores on the locked test.
        against_zero_shot: From zero-shot to it, on the test.
        against_recommended: From the recommended method to it, on the test.
        against_linear: From the linear head to it, where there is one.
    """

    method: str
    val: Metrics | None
    epochs: tuple[EpochRecord, ...]
    temperature: float
    threshold: Threshold | None
    trained_parameters: int
    seconds: float
    peak_memory_bytes: int | None
    features: str
    settings: Mapping[str, Any]  # Any: plain JSON values, arguments of a head
    cross_validation: CrossValidated | None
    feature_losses: Mapping[str, float]
    test: Metrics
    against_zero_shot: Comparison
    against_recommended: Comparison
    against_linear: Comparison | None


@dataclass(frozen=True)
class ExpectedGain:
    """What training adds on held-out images; None where nothing could be held out.

    Attributes:
        difference: Accuracy, method minus zero-shot.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        error: Its standard error.
        below_margin: How probable it is that the gain is below the margin.
        n: Images.
    """

    difference: float | None
    low: float | None
    high: float | None
    error: float | None
    below_margin: float | None
    n: int


@dataclass(frozen=True)
class LabelErrorCount:
    """How many labels look wrong.

    Attributes:
        n: So many.
        n_images: Among these.
    """

    n: int
    n_images: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Methods that were compared, and the rule's answer.

    Attributes:
        methods: By name.
        recommended: The method to ship; None where nothing can be said.
        answer: The rule's word for it.
        margin: How much of the score a cheaper method might cost.
        labels_needed: How many labels would tell.
        best: The method with the highest expected score.
        select: The score that they are compared by.
        score: That of the best on held-out images, None where nothing could be held out.
        as_good: Others that are shown to be as good.
        gain: From zero-shot to the best.
        recommendation: The answer as a sentence.
    """

    methods: Mapping[str, MethodResult]
    recommended: str | None
    answer: str
    margin: float
    labels_needed: int | None
    best: str | None
    select: str = "accuracy"
    score: float | None = None
    as_good: tuple[str, ...]
    gain: ExpectedGain
    recommendation: str


@dataclass(frozen=True, kw_only=True)
class CropsCompared:
    """One look at each image and the average of several crops, on the same held-out images.

    Attributes:
        asked: How many crops.
        kept: The classifier takes them; one look is enough otherwise.
        method_one_look: The method to ship with one look.
        method: The one with the crops.
        one_look: Accuracy of the first.
        averaged: Of the second.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end of it.
        n: Images.
        log_loss_one_look: In nats.
        log_loss: With the crops.
    """

    asked: int
    kept: bool
    method_one_look: str
    method: str
    one_look: float
    averaged: float
    low: float
    high: float
    n: int
    log_loss_one_look: float
    log_loss: float

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        end = "they are kept" if self.kept else "one look is as good, costs less and is kept"
        return (
            f"{self.asked} crops of each image answer {percent(self.averaged)} of held-out images "
            f"rightly ({self.method}, log-loss {decimal(self.log_loss)}), one look "
            f"{percent(self.one_look)} ({self.method_one_look}, "
            f"{decimal(self.log_loss_one_look)}): "
            f"{write_change(self.averaged - self.one_look)} points "
            f"({change_interval(self.low, self.high)}); {end}."
        )


@dataclass(frozen=True, kw_only=True)
class EncoderAnswers:
    """What one encoder, or several side by side, answered for held-out images.

    Attributes:
        method: The method to ship.
        accuracy: Of its answers.
        log_loss: In nats.
    """

    method: str
    accuracy: float
    log_loss: float


@dataclass(frozen=True, kw_only=True)
class EncodersCompared:
    """Several encoders side by side and each alone, on the same held-out images.

    Attributes:
        asked: All of them, as they were named.
        kept: The classifier's encoder.
        answers: By name, all of them first.
        best_alone: The best of those alone.
        low: Lower end of the 95 % interval of what all gain over it.
        high: Upper end of it.
        n: Images.
    """

    asked: str
    kept: str
    answers: Mapping[str, EncoderAnswers]
    best_alone: str
    low: float
    high: float
    n: int

    @property
    def gain(self) -> float:
        """What all gain over the best one alone, a share."""
        return self.answers[self.asked].accuracy - self.answers[self.best_alone].accuracy

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        each = ", ".join(
            f"{name} {percent(one.accuracy)} ({one.method}, log-loss {decimal(one.log_loss)})"
            for name, one in self.answers.items()
        )
        end = (
            "they are kept side by side"
            if self.kept == self.asked
            else f"{self.kept} alone is as good, costs less and is kept"
        )
        return (
            f"Right answers on held-out images: {each}; side by side {write_change(self.gain)} "
            f"points over {self.best_alone} ({change_interval(self.low, self.high)}): {end}."
        )


@dataclass(frozen=True, kw_only=True)
class PartsRead:
    """What was read where heads were fitted on the parts of an embedding job.

    Attributes:
        rows: Rows of the job.
        without_label: Of these, rows that have no label.
        learned_from: Labelled rows outside the test.
        held_out: Of these, rows that methods were compared on.
        passes: How often vectors were read in all.
        passes_of: The same by method; the first pass serves all of them.
    """

    rows: int
    without_label: int
    learned_from: int
    held_out: int
    passes: int
    passes_of: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """What was read, in words."""
        linear = self.passes_of.get("linear")
        own = "" if linear is None else f", {linear} of them for linear"
        return (
            f"{count(self.rows)} rows were read from their parts in {self.passes} passes{own}; "
            f"{count(self.held_out)} of them were held out to compare on."
        )


@dataclass(frozen=True, kw_only=True)
class FitResult(Result):
    """Heads that were compared on one data set, and the classifier that came of it.

    Attributes:
        command: ``fit``.
        data: The data set, as it was named.
        model: The encoder.
        precision: What it computed in.
        templates: The texts that class names were put into.
        val_fraction: Share of the images held out once, in place of cross-validation.
        options: Arguments of heads that were given.
        seed: Of everything random.
        shots: Images a class that were drawn, in a few-shot run.
        seeds: Draws for each of these.
        engine: What ran the encoder.
        rows_checked: Rows that were computed twice.
        shipped: The method that the run holds.
        zero_shot: Scores of zero-shot on the test.
        class_names: C names.
        n_train: Images to learn from and to choose on.
        notes: What was done, one sentence each.
        data_digest: Of ids, labels, splits and names.
        features_key: Digest of all that made the features.
        run: The folder of the classifier.
        compared: Where all methods were compared, what each gave and the rule's answer.
        few_shot: The learning curve of a few-shot run.
        crops: How several crops of each image compare with one look, where that was asked.
        class_thresholds: What came of a threshold for each class, where that was asked.
        unlabelled: What images without labels were worth, where some were given.
        parts: What was read, where the rows came from the parts of an embedding job.
        encoder_in_run: The run holds the encoder's weights.
        label_errors: None where a class has a single image, or no image was at hand.
        seconds_total: From the command to its end.
    """

    command: str
    data: str
    model: str
    precision: str
    templates: Templates
    val_fraction: float | None
    options: Mapping[str, Any]  # Any: plain JSON values, arguments of heads
    seed: int
    shots: tuple[int, ...] | None = field(default=None, metadata=ABSENT)
    seeds: int | None = field(default=None, metadata=ABSENT)
    engine: str
    rows_checked: RowsChecked
    shipped: MethodResult = field(metadata=FLAT)
    zero_shot: Metrics
    class_names: tuple[str, ...]
    n_train: int
    notes: tuple[str, ...]
    data_digest: str
    features_key: str
    run: str
    compared: Compared | None = field(metadata=FLAT)
    few_shot: FewShot | None = field(default=None, metadata=ABSENT)
    crops: CropsCompared | None = field(default=None, metadata=ABSENT)
    encoders: EncodersCompared | None = field(default=None, metadata=ABSENT)
    class_thresholds: ClassThresholds | None = field(default=None, metadata=ABSENT)
    unlabelled: UnlabelledImages | None = field(default=None, metadata=ABSENT)
    parts: PartsRead | None = field(default=None, metadata=ABSENT)
    encoder_in_run: bool
    label_errors: LabelErrorCount | None
    seconds_total: float | None = field(default=None, metadata=ABSENT)

    @property
    def methods(self) -> Mapping[str, MethodResult]:
        """Every method that was fitted, by name."""
        return self.compared.methods if self.compared else {self.shipped.method: self.shipped}

    @property
    def recommended(self) -> str | None:
        """The method to ship: the one asked for, or the rule's; None where nothing can be said."""
        return self.compared.recommended if self.compared else self.shipped.method

    @property
    def rows(self) -> int | None:
        """Rows of the parts that were read; None where images were embedded here."""
        return None if self.parts is None else self.parts.rows

    @property
    def passes(self) -> int | None:
        """How often vectors were read from parts; None where they fitted in memory."""
        return None if self.parts is None else self.parts.passes

    @property
    def test(self) -> Metrics:
        """Scores of the shipped method on the locked test."""
        return self.shipped.test

    def blocks(self) -> tuple[Shown, ...]:
        """Return scores and costs of every method, the recommendation, and where the run is."""
        methods = self.methods
        return (
            self._accuracy_table(methods),
            TextTable.of(
                "On the locked test, and what it took",
                ("method", "balanced", "log-loss", "ECE", "parameters", "time", "memory"),
                [_cost_row(name, one) for name, one in methods.items()],
            ),
            *((self._difference_table(methods),) if self.compared else ()),
            *(_feature_choice(n, one) for n, one in methods.items() if one.feature_losses),
            *((self.few_shot.table(),) if self.few_shot else ()),
            *((self.crops.sentence,) if self.crops else ()),
            *((self.encoders.sentence,) if self.encoders else ()),
            *((self.class_thresholds.sentence,) if self.class_thresholds else ()),
            *((self.unlabelled.sentence,) if self.unlabelled else ()),
            *((self.parts.sentence,) if self.parts else ()),
            self.compared.recommendation
            if self.compared
            else f"Zero-shot reaches {percent(self.zero_shot.accuracy.value)} on the same test.",
            f"Classifier, scores and errors: {self.run}",
        )

    def _accuracy_table(self, methods: Mapping[str, MethodResult]) -> TextTable:
        return TextTable.of(
            f"{self.data}: {count(self.n_train)} images to learn from and to choose on, "
            f"{count(self.test.n)} locked test images; {self.model} ({self.precision})",
            ("method", "held out", "95 % interval", "test", "95 % interval", "against zero-shot"),
            [_accuracy_row(name, one) for name, one in methods.items()],
        )

    def _difference_table(self, methods: Mapping[str, MethodResult]) -> TextTable:
        recommended = self.recommended or "zero-shot"
        return TextTable.of(
            "Differences on the locked test in points, with 95 % intervals",
            ("method", "from zero-shot", "from linear", f"from {recommended}"),
            [_difference_row(name, one, recommended) for name, one in methods.items()],
        )


def _feature_choice(name: str, found: MethodResult) -> str:
    losses = found.feature_losses
    compared = ", ".join(f"{features} {decimal(loss)}" for features, loss in losses.items())
    return (
        f"{name} learned from {_FEATURES[found.features]}: log-loss on held-out images {compared}."
    )


def _accuracy_row(name: str, found: MethodResult) -> tuple[str, ...]:
    val, change = found.val, found.against_zero_shot
    return (
        name,
        percent(val.accuracy.value) if val else "",
        interval(*val.accuracy.interval) if val else "",
        percent(found.test.accuracy.value),
        interval(*found.test.accuracy.interval),
        f"{write_change(change.difference)}, {with_p(change.p_value)}",
    )


def _difference_row(name: str, found: MethodResult, recommended: str) -> tuple[str, ...]:
    bases = {
        "zero-shot": found.against_zero_shot,
        "linear": found.against_linear,
    }
    cells = ["" if name == base else _difference(change) for base, change in bases.items()]
    return (name, *cells, "" if name == recommended else _difference(found.against_recommended))


def _difference(change: Comparison | None) -> str:
    if change is None:
        return ""
    return f"{write_change(change.difference)} ({change_interval(change.low, change.high)})"


def _cost_row(name: str, found: MethodResult) -> tuple[str, ...]:
    test, memory = found.test, found.peak_memory_bytes
    return (
        name,
        percent(test.balanced_accuracy.value),
        decimal(test.log_loss.value),
        decimal(test.ece.value),
        count(found.trained_parameters),
        duration(found.seconds),
        "" if memory is None else size(memory),
    )
