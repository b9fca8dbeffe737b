"""The findings of all views, and their comparison, as plain JSON values.

It knows nothing about places in the plane beyond the variance they explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cliptune.evaluation.metrics import Score, wilson_interval
from cliptune.evaluation.significance import Comparison
from cliptune.modality_gap.compare import compare_gaps, compare_hits
from cliptune.modality_gap.findings import Finding
from cliptune.modality_gap.inputs import MapInputs, MapOptions
from cliptune.modality_gap.projection import Plane
from cliptune.modality_gap.shift import ShiftCurve
from cliptune.modality_gap.verdict import describe_change, describe_gap

__all__ = ["summarise"]

Json = dict[str, Any]  # Any: plain JSON values


def summarise(
    inputs: MapInputs,
    findings: Sequence[Finding],
    planes: Sequence[Plane],
    options: MapOptions,
) -> Json:
    """Put numbers, intervals, changes and words together.

    Args:
        inputs: Names, groups and labels.
        findings: One a view.
        planes: Likewise.
        options: How the map is made.

    Returns:
        ``gap`` and ``views``; with several views also ``before``, ``after``, ``change``,
        ``accuracy_change`` and ``verdict`` of the last against the first, and ``comparisons``,
        one for each view but the first.
    """
    first, last = findings[0], findings[-1]
    numbers: Json = {
        "data": inputs.data,
        "kind": "captions" if inputs.labels is None else "classes",
        "n_images": len(inputs.image_ids),
        "n_texts": len(inputs.texts),
        "seed": options.seed,
        "projection": {"method": options.method, "fit": options.fit},
        "views": [
            _view_numbers(found, plane, inputs)
            for found, plane in zip(findings, planes, strict=True)
        ],
        "gap": _score_dicts(first.scores),
    }
    if len(findings) > 1:
        comparisons = [_compare(first, other, inputs, options.seed) for other in findings[1:]]
        numbers |= {
            "before": _score_dicts(first.scores),
            "after": _score_dicts(last.scores),
            "change": comparisons[-1]["change"],
            "accuracy_change": comparisons[-1]["accuracy"],
            "verdict": comparisons[-1]["verdict"],
            "comparisons": comparisons,
        }
    return numbers


def _view_numbers(found: Finding, plane: Plane, inputs: MapInputs) -> Json:
    shift = found.shift
    return {
        "name": found.view.name,
        "dimensions": int(found.view.image_vectors.shape[1]),
        "explained_variance": None if plane.explained is None else list(plane.explained),
        "gap": _score_dicts(found.scores),
        "omitted": found.gap.omitted,
        "accuracy": _accuracies(found, inputs),
        "reading": describe_gap(found.scores),
        "shift": None if shift is None else _shift_dict(shift),
    }


def _accuracies(found: Finding, inputs: MapInputs) -> Json | None:
    """Score the nearest class text, and the run's own predictions where it has some."""
    if inputs.labels is None:
        return None
    labelled = inputs.labels >= 0
    predictions = {"nearest_text": inputs.text_groups[found.nearest]}
    if found.view.predictions is not None:
        predictions["own_predictions"] = found.view.predictions
    scores = {}
    for name, predicted in predictions.items():
        hits = (predicted == inputs.labels)[labelled]
        low, high = wilson_interval(int(hits.sum()), len(hits))
        scores[name] = Score(float(hits.mean()), low, high, len(hits), "Wilson")
    return _score_dicts(scores)


def _compare(first: Finding, second: Finding, inputs: MapInputs, seed: int) -> Json:
    change = compare_gaps(first.gap, second.gap)
    accuracies = _compare_accuracies(first, second, inputs, seed)
    return {
        "before": first.view.name,
        "after": second.view.name,
        "change": _score_dicts(change),
        "accuracy": {name: asdict(comparison) for name, comparison in accuracies.items()},
        "verdict": describe_change(
            first.scores, second.scores, change, accuracies.get("classifier")
        ),
    }


def _compare_accuracies(
    first: Finding, second: Finding, inputs: MapInputs, seed: int
) -> dict[str, Comparison]:
    """Compare the classifiers, and the nearest class texts where a classifier is not just that."""
    if inputs.labels is None:
        return {}
    pairs = {"classifier": (first.predicted, second.predicted)}
    if first.view.predictions is not None or second.view.predictions is not None:
        groups = inputs.text_groups
        pairs["nearest_text"] = (groups[first.nearest], groups[second.nearest])
    return {
        name: compare_hits(before, after, inputs.labels, seed=seed)
        for name, (before, after) in pairs.items()
    }


def _score_dicts(scores: Mapping[str, Score]) -> Json:
    return {
        name: {"value": s.value, "interval": [s.low, s.high], "n": s.n, "method": s.method}
        for name, s in scores.items()
    }


def _shift_dict(curve: ShiftCurve) -> Json:
    return {
        "lambda": list(curve.shifts),
        "distance": list(curve.distances),
        "scores": {
            name: [{"value": s.value, "interval": [s.low, s.high], "n": s.n} for s in scores]
            for name, scores in curve.scores.items()
        },
        "closed": asdict(curve.closed),
    }
