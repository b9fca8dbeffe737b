"""One run of ``fit``: several methods on one partition, and what it leaves on disk.

It knows heads and files, and nothing about how options are read or results shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.choosing import Chosen
from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.fitting import Fitted, score_fitted
from cliptune.classifiers.head_data import HeadData
from cliptune.classifiers.run_encoder import save_run_encoder
from cliptune.evaluation.confusion import write_class_scores
from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.evaluation.zero_shot import write_misclassified, write_predictions
from cliptune.images import ImageTable
from cliptune.prompts import TemplateSet
from cliptune.results.class_thresholds import ClassThresholds
from cliptune.results.fitted import CropsCompared
from cliptune.results.model_card import render_model_card
from cliptune.results.plain import record_to_plain
from cliptune.results.unlabelled import UnlabelledImages
from cliptune.runs import RunDir
from cliptune.selection.sentence import recommendation
from cliptune.splits.partition import Partition
from cliptune.workflows.few_shot import Trial, score_trials
from cliptune.workflows.learning_curve import write_learning_curve
from cliptune.workflows.run_views import write_label_errors, write_partition

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.results.fitted import EncodersCompared

__all__ = ["FitSettings", "Scored", "finish_run", "score_on_test"]


@dataclass(frozen=True)
class Scored:
    """A fitted method after the test was opened.

    Attributes:
        fitted: The method.
        test: Its scores on the locked test.
        probabilities: float64 (M, C) on the test images.
        against_zero_shot: From zero-shot to this method, on the test.
        against_recommended: From the recommended method to this one, on the test.
        against_linear: From the linear head to this method, where there is one.
    """

    fitted: Fitted
    test: Metrics
    probabilities: NDArray[np.float64]
    against_zero_shot: Comparison
    against_recommended: Comparison
    against_linear: Comparison | None

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything that is reported of it."""
        return {
            **self.fitted.to_dict(),
            "test": self.test.to_dict(),
            "against_zero_shot": vars(self.against_zero_shot),
            "against_recommended": vars(self.against_recommended),
            "against_linear": vars(self.against_linear) if self.against_linear else None,
        }


def score_on_test(
    task: HeadData, rows: NDArray[np.int64], fitted: Mapping[str, Fitted], *, recommended: str
) -> dict[str, Scored]:
    """Score every method on the opened test at once.

    Args:
        task: Data and partition.
        rows: int64, the test.
        fitted: Methods by name, zero-shot among them.
        recommended: The one that validation chose.
    """
    answers = {name: score_fitted(task, f, rows) for name, f in fitted.items()}
    correct = {
        name: probabilities.argmax(axis=1) == task.labels[rows]
        for name, (_, probabilities) in answers.items()
    }

    def compare(other: str, name: str) -> Comparison:
        return compare_correct(correct[other], correct[name], seed=task.seed)

    return {
        name: Scored(
            fitted=f,
            test=answers[name][0],
            probabilities=answers[name][1],
            against_zero_shot=compare("zero-shot", name),
            against_recommended=compare(recommended, name),
            against_linear=compare("linear", name) if "linear" in fitted else None,
        )
        for name, f in fitted.items()
    }


@dataclass(frozen=True)
class FitSettings:
    """What the user asked for.

    Attributes:
        data: The data set, as it was named.
        method: A name in ``HEADS``, or ``all``.
        template_set: How class names became texts.
        val_fraction: Share of the images held out once, in place of cross-validation; or None.
        options: Arguments of the heads.
        seed: Of everything random.
        shots: Images a class, in a few-shot run.
        n_seeds: Draws for each of these.
    """

    data: str
    method: str
    template_set: TemplateSet
    val_fraction: float | None
    options: Mapping[str, Any]
    seed: int
    shots: tuple[int, ...] = ()
    n_seeds: int = 1

    def to_dict(self, encoder: EncoderRecord) -> dict[str, Any]:  # Any: plain JSON values
        """Return what the run records of it, without the method."""
        few = {"shots": list(self.shots), "seeds": self.n_seeds} if self.shots else {}
        return {
            "command": "fit",
            "data": self.data,
            "model": encoder.name,
            "precision": encoder.precision,
            "templates": {
                "name": self.template_set.name,
                "texts": list(self.template_set.templates),
            },
            "val_fraction": self.val_fraction,
            "options": dict(self.options),
            "seed": self.seed,
            **few,
        }


def finish_run(
    place: Path,
    settings: FitSettings,
    chosen: Chosen,
    *,
    task: HeadData,
    partition: Partition,
    table: ImageTable,
    features_key: str,
    encoder: EncoderRecord,
    computing: Mapping[str, Any],  # Any: plain JSON values
    trials: Sequence[Trial] = (),
    looks: CropsCompared | EncodersCompared | None = None,
    unlabelled: str | None = None,
    weights_of: DualEncoder | None = None,
) -> dict[str, Any]:
    """Open the test after everything has been chosen, and fill a run directory.

    Args:
        place: Where the run goes.
        settings: What was asked for.
        chosen: The fitted methods, zero-shot among them, and which of them to ship.
        task: Data and partition.
        partition: Holds the locked test.
        table: All images of the data set.
        features_key: Digest of all that made the features.
        encoder: The encoder that made them.
        computing: Which engine made them and how many rows were checked.
        trials: Few-shot trials, which are scored on the test at the same opening.
        looks: How several crops or encoders compare with one, where several were asked for.
        unlabelled: Where images without labels came from, where some were given.
        weights_of: The same encoder in fp32, to be kept in the run.

    Returns:
        What is reported, as plain JSON values.
    """
    answer = chosen.answer
    recommended = answer.method or "zero-shot"
    shipped = recommended if settings.method == "all" else settings.method
    test_rows = partition.test.open()
    asked, sentences = _asked_beside(looks, chosen, task.class_names, unlabelled)
    scored = score_on_test(task, test_rows, chosen.fitted, recommended=recommended)
    result = {
        "task": "fit",
        **settings.to_dict(encoder),
        **computing,
        **scored[shipped].to_dict(),
        "zero_shot": scored["zero-shot"].test.summary(),
        "class_names": list(task.class_names),
        "n_train": len(task.train),
        "notes": [*partition.notes, *chosen.notes, *sentences],
        "data_digest": table.digest(),
        "features_key": features_key,
        "run": str(place),
    }
    if settings.method == "all":
        test = scored[answer.method].test.accuracy if answer.method else None
        result["methods"] = {name: s.to_dict() for name, s in scored.items()}
        result |= {k: v for k, v in answer.to_dict().items() if k != "accuracy"}
        result["recommendation"] = recommendation(answer, test)
    if trials:
        result["few_shot"] = score_trials(trials, test_rows)
    result |= {**asked, "encoder_in_run": weights_of is not None}
    config = {**settings.to_dict(encoder), "method": settings.method}
    run = RunDir.create(place, {**config, "data_digest": result["data_digest"]})
    if weights_of is not None:
        encoder = replace(save_run_encoder(run, weights_of), precision=encoder.precision)
    _write_classifier(run, scored[shipped], table, encoder, settings.template_set.templates)
    test_table = table.select(test_rows)
    write_predictions(run, test_table, {name: s.probabilities for name, s in scored.items()})
    write_misclassified(run, test_table, scored[shipped].probabilities)
    write_class_scores(run, scored[shipped].test)
    write_partition(run, table, partition, test_rows)
    result["label_errors"] = write_label_errors(run, task, table)
    _write_report(run, result)
    facts = {key: result[key] for key in ("seed", "data_digest", "features_key")}
    run.finish({**facts, **computing, "encoder": vars(encoder)})
    return result


def _asked_beside(
    looks: CropsCompared | EncodersCompared | None,
    chosen: Chosen,
    names: Sequence[str],
    unlabelled: str | None,
) -> tuple[dict[str, Any], list[str]]:  # Any: plain JSON values
    """Return what came of all that was asked beside the choice: by key, and a sentence each."""
    moved = ClassThresholds.of(chosen.thresholds, names) if chosen.thresholds else None
    more = None
    if chosen.unlabelled is not None and unlabelled is not None:
        more = UnlabelledImages.of(chosen.unlabelled, unlabelled)
    seen = "crops" if isinstance(looks, CropsCompared) else "encoders"
    found = {seen: looks, "class_thresholds": moved, "unlabelled": more}
    return (
        {key: record_to_plain(part) for key, part in found.items() if part is not None},
        [part.sentence for part in found.values() if part is not None],
    )


def _write_report(run: RunDir, result: Mapping[str, Any]) -> None:  # Any: plain JSON values
    if "few_shot" in result:
        write_learning_curve(run, result["few_shot"])
    run.write_text("model_card.md", render_model_card(result))
    run.write_json("metrics.json", result)


def _write_classifier(
    run: RunDir,
    scored: Scored,
    table: ImageTable,
    encoder: EncoderRecord,
    templates: Sequence[str],
) -> None:
    fitted = scored.fitted
    CalibratedHead(
        head=fitted.head,
        class_names=table.class_names,
        templates=tuple(templates),
        encoder=encoder,
        temperature=fitted.temperature,
        threshold=fitted.threshold,
    ).save(run)
