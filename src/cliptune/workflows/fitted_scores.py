"""A fitted classifier on a labelled data set: classes matched by name, scored, compared.

It knows nothing about how options are read or results shown, and runs no model itself.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.catalog import list_datasets
from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.errors import DataError, RunError
from cliptune.evaluation.metrics import Metrics, compute_metrics
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.evaluation.zero_shot import score_template_set
from cliptune.images import ImageTable
from cliptune.images.names import clean_class_name
from cliptune.prompts import custom_template_set
from cliptune.runs import RunDir
from cliptune.system.escaping import from_csv

__all__ = ["RunScores", "count_learned_from", "match_classes", "score_classifier"]


@dataclass(frozen=True)
class RunScores:
    """What a fitted classifier gives on one data set.

    Attributes:
        probabilities: float64 (N, C), calibrated.
        metrics: The scores; an image on which the classifier abstains counts by its top class.
        zero_shot_probabilities: float64 (N, C), by the class texts of the same encoder.
        zero_shot: Their scores.
        against_zero_shot: From zero-shot to the classifier, on the same images.
        abstention: Where it has a threshold: ``probability``, the share of images it answers
            (``coverage``) and the share of right answers among these (``precision``, null
            where there are none).
    """

    probabilities: NDArray[np.float64]
    metrics: Metrics
    zero_shot_probabilities: NDArray[np.float64]
    zero_shot: Metrics
    against_zero_shot: Comparison
    abstention: dict[str, float | None] | None

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is reported, with the keys that zero-shot evaluation and fit use."""
        return {
            **self.metrics.to_dict(),
            "zero_shot": self.zero_shot.summary(),
            "against_zero_shot": asdict(self.against_zero_shot),
            "abstention": self.abstention,
        }


def match_classes(table: ImageTable, class_names: tuple[str, ...]) -> ImageTable:
    """Number the labels of a data set as a classifier numbers its classes.

    Classes of the classifier may have no image in the data.

    Args:
        table: N labelled images.
        class_names: The C names of the classifier.

    Returns:
        The table with the classifier's names and numbers.

    Raises:
        DataError: Images have a class that the classifier does not know; the message says which.
    """
    number_of = {name: number for number, name in enumerate(class_names)}
    # Folders of a known data set took its names in training, where all of them were there.
    for info in list_datasets():
        for label, name in zip(info.labels, info.class_names, strict=True):
            if name in number_of:
                number_of.setdefault(clean_class_name(label), number_of[name])
    present = np.unique(table.labels[table.labels >= 0]).tolist()
    unknown = [table.class_names[c] for c in present if table.class_names[c] not in number_of]
    if unknown:
        missing = [name for name in class_names if name not in table.class_names]
        parts = [f"{len(unknown)} unknown to the classifier ({_listed(unknown)})"]
        if missing:
            parts.append(f"{len(missing)} missing in the data ({_listed(missing)})")
        raise DataError(
            f"the classes of {table.root!r} are not those of the classifier: {', '.join(parts)}; "
            "rename folders or give --class-names"
        )
    number = np.array([number_of.get(name, -1) for name in table.class_names], dtype=np.int64)
    labels = np.where(table.labels >= 0, number[table.labels], -1)
    return replace(table, labels=labels, class_names=class_names)


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


def score_classifier(
    classifier: CalibratedHead,
    X: NDArray[np.floating[Any]],  # Any: tokens may be of half precision
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    encode_texts: Callable[[list[str]], NDArray[np.float32]],
    logit_scale: float,
    seed: int = 0,
) -> RunScores:
    """Score a classifier, and the class texts alone, on the same images.

    Args:
        classifier: With the templates that zero-shot uses too.
        X: What the classifier takes: (N, D), (N, 1 + T, D) or (N, D + E).
        vectors: float32 (N, D), the pooled features.
        labels: int64 (N,), in the classifier's numbers.
        encode_texts: Maps T texts to float32 (T, D) unit rows, by the same encoder.
        logit_scale: The encoder's factor on cosines.
        seed: Of the bootstraps.
    """
    names = classifier.class_names
    probabilities = classifier.predict_proba(X)
    zero_shot = score_template_set(
        vectors,
        labels,
        class_names=names,
        template_set=custom_template_set(classifier.templates),
        encode_texts=encode_texts,
        logit_scale=logit_scale,
        seed=seed,
    )
    right = probabilities.argmax(axis=1) == labels
    return RunScores(
        probabilities=probabilities,
        metrics=compute_metrics(labels, probabilities, class_names=names, seed=seed),
        zero_shot_probabilities=zero_shot.probabilities,
        zero_shot=zero_shot.metrics,
        against_zero_shot=compare_correct(
            zero_shot.probabilities.argmax(axis=1) == labels, right, seed=seed
        ),
        abstention=_abstention(classifier, probabilities, right),
    )


def _abstention(
    classifier: CalibratedHead, probabilities: NDArray[np.float64], right: NDArray[np.bool_]
) -> dict[str, float | None] | None:
    if classifier.threshold is None:
        return None
    answered = ~classifier.abstains(probabilities)
    return {
        "probability": classifier.threshold.probability,
        "coverage": float(answered.mean()),
        "precision": float(right[answered].mean()) if answered.any() else None,
    }


def count_learned_from(run: RunDir, data: str, table: ImageTable) -> int:
    """Count the images that the classifier was learned or chosen on.

    It can only be told for the data set that the run was fitted on: there, ids name images.

    Args:
        run: The classifier's run.
        data: The data set, as it was named.
        table: The images to be scored.

    Raises:
        RunError: The run does not say which images it saw.
    """
    fitted_on = run.read_json("config.json").get("data")
    if not isinstance(fitted_on, str) or not _is_same_place(fitted_on, data):
        return 0
    seen = _learned_from(run.file("partition.csv"))
    return sum(name in seen for name in table.ids)


def _is_same_place(one: str, other: str) -> bool:
    try:
        return one == other or Path(one).resolve() == Path(other).resolve()
    except (OSError, ValueError, RuntimeError):  # a name that can be no path
        return False


def _learned_from(path: Path) -> set[str]:
    """Read the ids of the training and validation images of a run."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"cannot read {str(path)!r} ({error}); restore the run") from error
    if not lines or lines[0] != ["id", "part"] or any(len(line) != 2 for line in lines):
        raise RunError(f"{str(path)!r} has no columns id and part alone; restore the run")
    return {from_csv(name) for name, part in lines[1:] if part != "test"}
