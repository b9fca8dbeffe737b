"""What ``fit``, ``evaluate`` and ``predict`` give where an image may have several labels.

It knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cliptune.features.guard import RowsChecked
from cliptune.multilabel.metrics import LabelScores, LabelSetMetrics
from cliptune.results.base import Result, Templates, Unreadable
from cliptune.results.predictions import LabelProbability
from cliptune.system.formatting import decimal, duration, interval, percent
from cliptune.system.text_tables import Shown, TextTable

__all__ = [
    "EvaluateLabelsResult",
    "FitLabelsResult",
    "HeldOutLabels",
    "ImageLabels",
    "LabelMethod",
    "PredictLabelsResult",
    "label_score_cells",
]

_CLASSES_SHOWN = 20
_COLUMNS = ("mAP", "95 % interval", "micro F1", "macro F1", "log-loss")


@dataclass(frozen=True)
class HeldOutLabels:
    """What a method answered for images that it had not learned from.

    Attributes:
        mean_average_precision: Over the classes that any image has.
        interval: Both ends of its 95 % interval.
        n: Images.
        folds: Parts that were held out in turn.
    """

    mean_average_precision: float
    interval: tuple[float, float]
    n: int
    folds: int


@dataclass(frozen=True)
class LabelMethod:
    """One way of answering.

    Attributes:
        features: What it takes.
        settings: Its penalty, where it has one.
        cross_validation: Its answers for images that were held out.
        test: Its scores on the locked test.
        seconds: What choosing and fitting took.
    """

    features: str
    settings: Mapping[str, float]
    cross_validation: HeldOutLabels
    test: LabelSetMetrics
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FitLabelsResult(Result):
    """A classifier of several labels an image, and the evidence for it.

    Attributes:
        data: The data set, as it was named.
        model: The encoder.
        engine: What ran it.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        templates: The texts that class names were put into.
        class_names: C names.
        n_train: Images that were learned from.
        method: The one that is in the run.
        recommended: The one that cross-validation recommends.
        recommendation: Why, in a sentence.
        answer: ``train``, ``do-not-train`` or ``undecided``.
        margin: Mean average precision that a cheaper method may cost.
        test: Scores of the one in the run, on the locked test.
        methods: All by name.
        notes: What was done with the data, a sentence each.
        unreadable: Images that were left out.
        run: The folder of the classifier.
        seconds_total: All of it.
    """

    data: str
    model: str
    engine: str
    precision: str
    rows_checked: RowsChecked
    templates: Templates
    class_names: tuple[str, ...]
    n_train: int
    method: str
    recommended: str
    recommendation: str
    answer: str
    margin: float
    test: LabelSetMetrics
    methods: Mapping[str, LabelMethod]
    notes: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    run: str
    seconds_total: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return methods, classes, the recommendation, and where the rest is."""
        title = (
            f"{self.data}: several labels an image, {len(self.class_names)} classes, "
            f"{self.n_train} training and {self.test.n} locked test images; {self.model}"
        )
        rows = [
            (
                name + (" (in the run)" if name == self.method else ""),
                one.features,
                percent(one.cross_validation.mean_average_precision),
                interval(*one.cross_validation.interval),
                *label_score_cells(one.test),
                duration(one.seconds),
            )
            for name, one in self.methods.items()
        ]
        held_out = ("method", "features", "held out mAP", "95 % interval")
        return (
            TextTable.of(title, (*held_out, *_COLUMNS, "time"), rows),
            _class_table(self.test, f"Per class, {self.method}, on the locked test"),
            self.recommendation,
            f"Classifier and scores: {self.run}",
        )


@dataclass(frozen=True, kw_only=True)
class EvaluateLabelsResult(Result):
    """Answers to several labels an image, scored on a data set.

    Attributes:
        data: The data set, as it was named.
        split: As it was asked for.
        model: The encoder.
        engine: What ran it.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        classifier: The run that was scored; None: zero-shot.
        method: What answered.
        templates: The texts that class names were put into.
        class_names: C names.
        metrics: Its scores. Zero-shot's thresholds were chosen out of fold on these images.
        unreadable: Images that were left out.
        seconds: All of it.
        run: The folder with predictions and scores.
    """

    data: str
    split: str | None
    model: str
    engine: str
    precision: str
    rows_checked: RowsChecked
    classifier: str | None
    method: str
    templates: Templates
    class_names: tuple[str, ...]
    metrics: LabelSetMetrics
    unreadable: tuple[Unreadable, ...]
    seconds: float
    run: str

    def blocks(self) -> tuple[Shown, ...]:
        """Return the scores, those of classes, and where the rest is."""
        title = (
            f"{self.method} on {self.data}: {self.metrics.n} images, several labels each, "
            f"{len(self.class_names)} classes, {self.model} ({self.precision})"
        )
        return (
            TextTable.of(title, _COLUMNS, [label_score_cells(self.metrics)]),
            _class_table(self.metrics, "Per class"),
            f"Predictions and scores: {self.run}",
        )


@dataclass(frozen=True)
class ImageLabels:
    """What is said of one image.

    Attributes:
        image: Its id.
        labels: The most probable ones, the first first; each probability is a class's own.
        present: Those that reach their threshold.
    """

    image: str
    labels: tuple[LabelProbability, ...]
    present: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PredictLabelsResult(Result):
    """Several labels of images.

    Attributes:
        model: The encoder.
        method: What answered.
        predictions: One an image that could be read.
        unreadable: Images that were left out.
        engine: What ran the encoder.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
    """

    model: str
    method: str
    predictions: tuple[ImageLabels, ...]
    unreadable: tuple[Unreadable, ...]
    engine: str
    precision: str
    rows_checked: RowsChecked

    def blocks(self) -> tuple[Shown, ...]:
        """Return a table of images and labels."""
        rows = [
            (
                one.image if rank == 0 else "",
                label.label,
                percent(label.probability),
                "yes" if label.label in one.present else "",
            )
            for one in self.predictions
            for rank, label in enumerate(one.labels)
        ]
        title = f"{self.method} on {self.model} ({self.precision}): each label on its own"
        return (TextTable.of(title, ("image", "label", "probability", "present"), rows),)


def label_score_cells(metrics: LabelSetMetrics) -> tuple[str, ...]:
    """Write the headline scores: mAP, its interval, both F1, log-loss."""
    found = metrics.mean_average_precision
    return (
        percent(found.value),
        interval(found.low, found.high),
        percent(metrics.micro_f1.value),
        percent(metrics.macro_f1.value),
        decimal(metrics.log_loss),
    )


def _class_table(metrics: LabelSetMetrics, title: str) -> TextTable:
    """Show all classes, or the worst of many."""
    classes: list[LabelScores] = [c for c in metrics.per_class if c.average_precision is not None]
    if len(classes) > _CLASSES_SHOWN:
        classes.sort(key=lambda c: c.average_precision or 0.0)
        classes, title = classes[:_CLASSES_SHOWN], f"{title}: the {_CLASSES_SHOWN} lowest"
    rows = [
        (
            c.name,
            str(c.n),
            percent(c.average_precision or 0.0),
            percent(c.precision),
            percent(c.recall),
            percent(c.f1),
            decimal(c.threshold),
        )
        for c in classes
    ]
    columns = ("class", "images", "AP", "precision", "recall", "F1", "threshold")
    return TextTable.of(title, columns, rows)
