"""What ``evaluate`` gives: zero-shot, a fitted classifier, or retrieval on a data set.

It knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison
from cliptune.features.guard import RowsChecked
from cliptune.results.base import Result, Templates, Unreadable
from cliptune.results.plain import FLAT
from cliptune.system.formatting import change, decimal, interval, per_second, percent, with_p
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["Abstention", "EvaluateResult", "FittedEvaluateResult", "score_cells"]

_CLASSES_SHOWN = 12
_COLUMNS = ("accuracy", "95 % interval", "balanced", "log-loss", "ECE")


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(Result):
    """Zero-shot classification of a labelled data set.

    Attributes:
        data: The data set, as it was named.
        split: As it was asked for.
        model: The encoder.
        engine: What ran it.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        device: Where it computed.
        class_names: C names.
        templates: Of the headline scores.
        metrics: The headline scores.
        template_sets: Scores by the name of the template set, without classes.
        comparisons: From the first set to each other one, on the same images.
        equal_classes: Classes whose texts are equal to the model.
        unreadable: Images that were left out.
        seconds: All of it.
        images_per_second: Of the images that were embedded, None where all were in the cache.
        images_embedded: How many these are.
        run: The folder with predictions and errors.
    """

    data: str
    split: str | None
    model: str
    engine: str
    precision: str
    rows_checked: RowsChecked
    device: str
    class_names: tuple[str, ...]
    templates: Templates
    metrics: Metrics = field(metadata=FLAT)
    template_sets: Mapping[str, Metrics]
    comparisons: Mapping[str, Comparison]
    equal_classes: tuple[tuple[str, ...], ...]
    unreadable: tuple[Unreadable, ...]
    seconds: float
    images_per_second: float | None
    images_embedded: int
    run: str

    def blocks(self) -> tuple[Shown, ...]:
        """Return scores of template sets, of classes, the speed, and where the rest is."""
        title = (
            f"Zero-shot on {self.data}: {self.metrics.n} images, {len(self.class_names)} classes, "
            f"{self.model} ({self.precision}, {self.device})"
        )
        rows = [
            (name, *score_cells(metrics), self._against(name))
            for name, metrics in self.template_sets.items()
        ]
        speed = self.images_per_second
        return (
            TextTable.of(title, ("templates", *_COLUMNS, "against"), rows),
            _class_table(self.metrics, self.templates.name),
            *((f"{per_second(speed)} images/s",) if speed else ()),
            f"Predictions, scores and errors: {self.run}",
        )

    def _against(self, name: str) -> str:
        found = self.comparisons.get(name)
        return "(first)" if found is None else _difference(found)


def score_cells(metrics: Metrics) -> tuple[str, ...]:
    """Write the headline scores, in the order of accuracy, interval, balanced, log-loss, ECE."""
    return (
        percent(metrics.accuracy.value),
        interval(*metrics.accuracy.interval),
        percent(metrics.balanced_accuracy.value),
        decimal(metrics.log_loss.value),
        decimal(metrics.ece.value),
    )


def _difference(comparison: Comparison) -> str:
    return f"{change(comparison.difference)}, {with_p(comparison.p_value)}"


def _class_table(metrics: Metrics, template_set: str) -> TextTable:
    """Show all classes, or the worst of many."""
    classes = [c for c in metrics.per_class if c.n]
    title = f"Per class, {template_set} prompts"
    if len(classes) > _CLASSES_SHOWN:
        classes = sorted(classes, key=lambda c: c.f1)[:_CLASSES_SHOWN]
        title = f"The {_CLASSES_SHOWN} classes with the lowest F1, {template_set} prompts"
    rows = [
        (c.name, str(c.n), percent(c.precision), percent(c.recall), percent(c.f1)) for c in classes
    ]
    return TextTable.of(title, ("class", "images", "precision", "recall", "F1"), rows)


@dataclass(frozen=True)
class Abstention:
    """How a classifier with a threshold fares on a data set.

    Attributes:
        probability: The threshold.
        coverage: Share of the images that it answers.
        precision: Share of right answers among these, None where there are none.
    """

    probability: float
    coverage: float
    precision: float | None


@dataclass(frozen=True, kw_only=True)
class FittedEvaluateResult(Result):
    """A fitted classifier on a labelled data set, and zero-shot beside it.

    Attributes:
        data: The data set, as it was named.
        split: As it was asked for.
        classifier: Its run.
        method: Its head or how it was trained.
        model: Its encoder.
        precision: What that computed in.
        device: Where it computed.
        class_names: C names.
        templates: The run's.
        engine: What ran the encoder.
        rows_checked: Rows that were computed twice.
        metrics: Scores of the classifier.
        zero_shot: Of the class texts on the same images.
        against_zero_shot: From zero-shot to the classifier.
        abstention: Where it has a threshold.
        n_learned_from: Images that it was learned or chosen on.
        unreadable: Images that were left out.
        seconds: All of it.
        images_per_second: Of the images that were embedded, None where all were in the cache.
        images_embedded: How many these are.
        run: The folder with predictions and errors.
    """

    data: str
    split: str | None
    classifier: str
    method: str
    model: str
    precision: str
    device: str
    class_names: tuple[str, ...]
    templates: Templates
    engine: str
    rows_checked: RowsChecked
    metrics: Metrics = field(metadata=FLAT)
    zero_shot: Metrics
    against_zero_shot: Comparison
    abstention: Abstention | None
    n_learned_from: int
    unreadable: tuple[Unreadable, ...]
    seconds: float
    images_per_second: float | None
    images_embedded: int
    run: str

    def blocks(self) -> tuple[Shown, ...]:
        """Return both scores, what abstaining does, and where the rest is."""
        title = (
            f"{self.method} on {self.data}: {self.metrics.n} images, {len(self.class_names)} "
            f"classes, {self.model} ({self.precision})"
        )
        rows = (
            (self.method, *score_cells(self.metrics), _difference(self.against_zero_shot)),
            ("zero-shot", *score_cells(self.zero_shot), ""),
        )
        return (
            TextTable.of(title, ("classifier", *_COLUMNS, "against"), rows),
            *self._abstains(),
            f"Predictions, scores and errors: {self.run}",
        )

    def _abstains(self) -> tuple[str, ...]:
        kept = self.abstention
        if kept is None:
            return ()
        right = "" if kept.precision is None else f", {percent(kept.precision)} of them right"
        return (f"It answers {percent(kept.coverage)} of the images{right}.",)
