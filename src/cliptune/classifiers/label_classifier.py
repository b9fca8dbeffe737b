"""LabelClassifier: scores, calibration and thresholds of several labels, and their form on disk.

Its files have the names of ``CalibratedHead``'s, and ``kind`` in ``classifier.json`` tells them
apart. It knows nothing about training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import (
    CalibratedHead,
    EncoderRecord,
    broken_record,
    read_record,
)
from cliptune.errors import CheckpointError
from cliptune.heads import Needs
from cliptune.multilabel.calibration import Calibration
from cliptune.multilabel.scorers import LinearScorer
from cliptune.prompts import custom_template_set
from cliptune.runs import RunDir
from cliptune.system.typed import require_types

__all__ = [
    "FEATURES",
    "KIND",
    "AnyClassifier",
    "LabelClassifier",
    "features_of",
    "holds_label_classifier",
    "limits_of",
    "load_any_classifier",
]

KIND = "label-sets"
FEATURES = ("embedding", "penultimate", "both")
_FACTS, _HEAD = "classifier.json", "head.safetensors"


@dataclass(frozen=True, eq=False)
class LabelClassifier:
    """From embeddings to one calibrated answer a class.

    Attributes:
        method: ``zero-shot``, ``discriminant`` or ``linear``.
        features: What it takes: ``embedding``, ``penultimate`` or ``both``.
        scorer: Weights and offsets.
        calibration: Slopes, offsets and thresholds.
        class_names: C names.
        templates: The texts that class names were put into.
        encoder: The encoder whose embeddings it takes.
    """

    method: str
    features: str
    scorer: LinearScorer
    calibration: Calibration
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    encoder: EncoderRecord

    @property
    def needs_trunk(self) -> bool:
        """Whether it takes features before the projection."""
        return self.features != "embedding"

    def predict_proba(
        self, vectors: NDArray[np.float32], trunk: NDArray[np.float32] | None
    ) -> NDArray[np.float64]:
        """Return float64 (N, C), each class on its own.

        Args:
            vectors: Embeddings (N, D).
            trunk: The same with the features before the projection behind them, where needed.
        """
        X = features_of(self.features, vectors, trunk)
        return self.calibration.probabilities(self.scorer.score(X))

    @property
    def needs(self) -> Needs:
        """What ``predict_rows`` takes: ``pooled`` or ``trunk``; see ``Head``."""
        return "trunk" if self.needs_trunk else "pooled"

    def predict_rows(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64 (N, C) of embeddings as ``needs`` says."""
        trunk = rows if self.needs_trunk else None
        return self.predict_proba(rows[:, : self.encoder.dim], trunk)

    def affine_logits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight (C, F) and offset (C,) of the log-odds of rows as ``needs`` says.

        Scorer and calibration are one affine map; features that are not taken weigh 0.
        """
        slope = self.calibration.slope
        weight = self.scorer.weight.astype(np.float64).T * slope[:, None]
        if self.features == "penultimate":
            weight = np.pad(weight, ((0, 0), (self.encoder.dim, 0)))
        return weight, self.scorer.offset * slope + self.calibration.offset

    def save(self, run: RunDir) -> None:
        """Write it into a run that is not finished yet."""
        from safetensors.numpy import save_file

        facts = {
            "kind": KIND,
            "method": self.method,
            "features": self.features,
            "class_names": list(self.class_names),
            "templates": list(self.templates),
            "encoder": asdict(self.encoder),
        }
        run.write_json(_FACTS, facts)
        named = {
            "weight": self.scorer.weight,
            "scorer_offset": self.scorer.offset,
            "slope": self.calibration.slope,
            "offset": self.calibration.offset,
            "threshold": self.calibration.threshold,
        }
        with run.writing(_HEAD) as temporary:
            save_file({k: np.ascontiguousarray(v) for k, v in named.items()}, temporary)

    @classmethod
    def load(cls, run: RunDir) -> LabelClassifier:
        """Read it from a finished run, and check its parts against each other.

        Raises:
            RunError: The run holds another classifier or none, or contradicts itself.
            CheckpointError: Its arrays are broken.
        """
        facts, record = read_record(run), EncoderRecord.read(run)
        with broken_record(run):
            if facts["kind"] != KIND:
                raise ValueError(f"its kind is {facts['kind']!r:.40}")
            names, templates = facts["class_names"], facts["templates"]
            for key, value in (("class_names", names), ("templates", templates)):
                require_types(value, list[str], key)
            custom_template_set(templates)
            if len(set(names)) != len(names) or not all(names) or not names:
                raise ValueError(f"its {len(names)} class names are not different ones")
            if facts["features"] not in FEATURES:
                raise ValueError(f"its features are {facts['features']!r:.40}")
            require_types(facts["method"], str, "method")
        scorer, calibration = _read_arrays(run, len(names), record.dim, facts)
        return cls(
            facts["method"], facts["features"], scorer, calibration,
            tuple(names), tuple(templates), record,
        )  # fmt: skip


def features_of(
    features: str, vectors: NDArray[np.float32], trunk: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return one kind of features out of embeddings and what the trunk gives."""
    if features == "embedding":
        return vectors
    assert trunk is not None, "who needs it embeds it"
    return trunk if features == "both" else trunk[:, vectors.shape[1] :]


def holds_label_classifier(run: RunDir) -> bool:
    """Tell whether a run holds a classifier of several labels.

    Raises:
        RunError: It holds no classifier at all.
    """
    return read_record(run).get("kind") == KIND


AnyClassifier = CalibratedHead | LabelClassifier


def load_any_classifier(run: RunDir) -> AnyClassifier:
    """Read the classifier of a finished run, of one label an image or of several.

    Raises:
        RunError: It holds none, or one that contradicts itself.
        CheckpointError: What it learned is broken.
    """
    kind = LabelClassifier if holds_label_classifier(run) else CalibratedHead
    return kind.load(run)


def limits_of(classifier: AnyClassifier) -> tuple[float | None, tuple[float, ...] | None]:
    """Return below which probability it abstains, and from which on each of C labels is present.

    The first is for one label an image, the second for several; None where there is none.
    """
    if isinstance(classifier, LabelClassifier):
        return None, tuple(classifier.calibration.threshold.tolist())
    return None if classifier.threshold is None else classifier.threshold.probability, None


def _read_arrays(
    run: RunDir,
    n_classes: int,
    dim: int,
    facts: Mapping[str, Any],  # Any: plain JSON values
) -> tuple[LinearScorer, Calibration]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = run.file(_HEAD)
    try:
        arrays = load_file(path)
        weight = arrays["weight"]
        rows = {k: arrays[k] for k in ("scorer_offset", "slope", "offset", "threshold")}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read {str(path)!r} ({error})") from error
    width = weight.shape[0] if weight.ndim == 2 else 0
    right = width == dim if facts["features"] == "embedding" else width > 0
    right &= weight.ndim == 2 and weight.shape[1] == n_classes and weight.dtype.kind == "f"
    right &= all(a.shape == (n_classes,) and a.dtype.kind == "f" for a in rows.values())
    if not right or not all(np.isfinite(a).all() for a in (weight, *rows.values())):
        raise CheckpointError(
            f"the arrays in {str(path)!r} do not fit {n_classes} classes and {dim} dimensions, or "
            "are not finite; restore the run or fit again"
        )
    share = rows["threshold"]
    if not ((rows["slope"] > 0).all() and (share >= 0).all() and (share <= 1).all()):
        raise CheckpointError(
            f"{str(path)!r} has a slope that is not above 0 or a threshold that is no share; "
            "restore the run or fit again"
        )
    scorer = LinearScorer(weight, rows["scorer_offset"])
    return scorer, Calibration(rows["slope"], rows["offset"], share)
