"""The scores of a fitted classifier on a data set, and the run that keeps them.

It knows classifiers, scores and files, and opens no images.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cliptune.evaluation.confusion import write_class_scores
from cliptune.evaluation.zero_shot import write_misclassified, write_predictions
from cliptune.features import describe_computing
from cliptune.results.base import Templates
from cliptune.results.scores import Abstention, FittedEvaluateResult
from cliptune.runs import RunDir
from cliptune.workflows.classifier import Classifier
from cliptune.workflows.fitted_scores import RunScores
from cliptune.workflows.session import EmbeddedTable

__all__ = ["Scoring", "write_scores"]

_CONFIG = (
    *("data", "split", "classifier", "method", "model", "precision", "device"),
    *("class_names", "templates"),
)


@dataclass(frozen=True, eq=False)
class Scoring:
    """A classifier that was scored on a data set.

    Attributes:
        classifier: What was scored.
        embedded: The images that could be read.
        scores: Of the classifier, and of zero-shot.
        data: The data set, as it was named.
        split: As it was asked for.
        learned_from: Images that the classifier was learned or chosen on.
        seed: Of the bootstraps.
    """

    classifier: Classifier
    embedded: EmbeddedTable
    scores: RunScores
    data: str
    split: str | None
    learned_from: int
    seed: int


def write_scores(place: Path, scoring: Scoring, *, start: float) -> FittedEvaluateResult:
    """Fill a run directory.

    Args:
        place: Where the run goes.
        scoring: What was scored.
        start: ``time.perf_counter()`` when it began.
    """
    result = _to_result(place, scoring, start)
    plain, table = result.to_dict(), scoring.embedded.table
    config = {"command": "evaluate", **{key: plain[key] for key in _CONFIG}}
    run = RunDir.create(place, {**config, "data_digest": table.digest()})
    write_predictions(
        run,
        table,
        {
            "fitted": scoring.scores.probabilities,
            "zero-shot": scoring.scores.zero_shot_probabilities,
        },
    )
    write_misclassified(run, table, scoring.scores.probabilities)
    write_class_scores(run, scoring.scores.metrics)
    run.write_json("metrics.json", plain)
    classifier = scoring.classifier
    record = asdict(classifier.calibrated.encoder) | {"precision": classifier.encoder.precision}
    computing = describe_computing(classifier.encoder, classifier.session.store.guard)
    run.finish(
        {"seed": scoring.seed, **computing, "data_digest": table.digest(), "encoder": record}
    )
    return result


def _to_result(place: Path, scoring: Scoring, start: float) -> FittedEvaluateResult:
    classifier, scores, embedded = scoring.classifier, scoring.scores, scoring.embedded
    encoder, guard = classifier.encoder, classifier.session.store.guard
    kept = scores.abstention
    return FittedEvaluateResult(
        task="fitted",
        data=scoring.data,
        split=scoring.split,
        classifier=str(classifier.run.path),
        method=classifier.method,
        model=encoder.name,
        precision=encoder.precision,
        device=encoder.device,
        class_names=classifier.class_names,
        templates=Templates("run", classifier.templates),
        engine=str(getattr(encoder, "engine", "torch")),
        rows_checked=guard.checked,
        metrics=scores.metrics,
        zero_shot=scores.zero_shot.headline(),
        against_zero_shot=scores.against_zero_shot,
        abstention=None if kept is None else Abstention(**kept),  # type: ignore[arg-type]
        n_learned_from=scoring.learned_from,
        unreadable=embedded.unreadable,
        seconds=time.perf_counter() - start,
        images_per_second=embedded.images_per_second,
        images_embedded=embedded.n_embedded,
        run=str(place),
    )
